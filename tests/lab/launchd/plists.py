"""What launchd.plist(5) allows: keys, types, and which strings are paths."""

import plistlib

PATH = 'an absolute path'
STRING, BOOL, NUMBER, DICT = 'a string', 'a boolean', 'an integer', 'a dictionary'
STRINGS, PATHS = 'an array of strings', 'an array of absolute paths'
TEXTS = 'a dictionary of strings'
FLAGS = 'a dictionary of booleans'

CALENDAR = {key: NUMBER for key in ('Minute', 'Hour', 'Day', 'Weekday', 'Month')}
LIMITS = {key: NUMBER for key in (
    'Core', 'CPU', 'Data', 'FileSize', 'MemoryLock', 'NumberOfFiles',
    'NumberOfProcesses', 'ResidentSetSize', 'Stack')}
KEEP_ALIVE = {
    'SuccessfulExit': BOOL, 'NetworkState': BOOL, 'PathState': FLAGS,
    'OtherJobEnabled': FLAGS, 'Crashed': BOOL, 'AfterInitialDemand': BOOL,
}
PROCESS_TYPES = {'Background', 'Standard', 'Adaptive', 'Interactive'}
SESSIONS = {'Aqua', 'Background', 'LoginWindow', 'StandardIO', 'System'}

# A tuple lists what a key may be instead; a dictionary in it lists its own keys.
KEYS = {
    'Label': STRING, 'Disabled': BOOL, 'UserName': STRING, 'GroupName': STRING,
    'inetdCompatibility': ({'Wait': BOOL},),
    'LimitLoadToHosts': STRINGS, 'LimitLoadFromHosts': STRINGS,
    'LimitLoadToSessionType': (STRING, STRINGS),
    'LimitLoadToHardware': DICT, 'LimitLoadFromHardware': DICT,
    'Program': PATH, 'BundleProgram': STRING, 'ProgramArguments': STRINGS,
    'EnableGlobbing': BOOL, 'EnableTransactions': BOOL, 'EnablePressuredExit': BOOL,
    'OnDemand': BOOL, 'ServiceIPC': BOOL, 'KeepAlive': (BOOL, KEEP_ALIVE),
    'RunAtLoad': BOOL, 'RootDirectory': PATH, 'WorkingDirectory': PATH,
    'EnvironmentVariables': TEXTS, 'Umask': (NUMBER, STRING), 'TimeOut': NUMBER,
    'ExitTimeOut': NUMBER, 'ThrottleInterval': NUMBER, 'InitGroups': BOOL,
    'WatchPaths': PATHS, 'QueueDirectories': PATHS, 'StartOnMount': BOOL,
    'StartInterval': NUMBER, 'StartCalendarInterval': (CALENDAR, [CALENDAR]),
    'StandardInPath': PATH, 'StandardOutPath': PATH, 'StandardErrorPath': PATH,
    'Debug': BOOL, 'WaitForDebugger': BOOL,
    'SoftResourceLimits': (LIMITS,), 'HardResourceLimits': (LIMITS,),
    'Nice': NUMBER, 'ProcessType': STRING, 'AbandonProcessGroup': BOOL,
    'LowPriorityIO': BOOL, 'LowPriorityBackgroundIO': BOOL,
    'MaterializeDatalessFiles': BOOL, 'LaunchOnlyOnce': BOOL,
    'MachServices': DICT, 'Sockets': DICT, 'LaunchEvents': DICT,
    'HopefullyExitsLast': BOOL, 'HopefullyExitsFirst': BOOL,
    'SessionCreate': BOOL, 'LegacyTimers': BOOL,
    'AssociatedBundleIdentifiers': (STRING, STRINGS),
}


def read(path):
    """The plist as a dictionary. ValueError says what is wrong with the file."""
    with open(path, 'rb') as file:
        data = file.read()
    try:
        job = plistlib.loads(data)
    except Exception as error:  # plistlib lets through whatever its parser raises.
        raise ValueError(f'not a property list: {error}') from error
    if not isinstance(job, dict):
        raise ValueError('not a dictionary')
    return job


def is_kind(value, kind):
    if kind == PATH:
        return isinstance(value, str) and value.startswith('/')
    if kind == STRING:
        return isinstance(value, str)
    if kind == BOOL:
        return isinstance(value, bool)
    if kind == NUMBER:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind in (STRINGS, PATHS):
        element = STRING if kind == STRINGS else PATH
        return isinstance(value, list) and all(is_kind(item, element) for item in value)
    if kind in (TEXTS, FLAGS):
        element = STRING if kind == TEXTS else BOOL
        return isinstance(value, dict) and all(is_kind(item, element) for item in value.values())
    return isinstance(value, dict)


def faults_of(value, kinds, name):
    """Why the value is none of the kinds; nothing if it is one of them."""
    kinds = as_tuple(kinds)
    for kind in kinds:
        if isinstance(kind, dict) and isinstance(value, dict):
            return [fault for key, item in value.items() for fault in (
                faults_of(item, kind[key], f'{name}.{key}') if key in kind
                else [f'{name}.{key}: not a key of launchd.plist(5)'])]
        if isinstance(kind, list) and isinstance(value, list):
            return [fault for item in value for fault in faults_of(item, (kind[0],), name)]
        if isinstance(kind, str) and is_kind(value, kind):
            return []
    wanted = ' or '.join(kind if isinstance(kind, str) else DICT for kind in kinds)
    return [f'{name}: not {wanted}: {value!r}']


def faults(job):
    found = []
    for key, value in job.items():
        if key in KEYS:
            found += faults_of(value, KEYS[key], key)
        else:
            found.append(f'{key}: not a key of launchd.plist(5)')
    if not job.get('Label'):
        found.append('Label: missing')
    found += program_faults(job)
    found += value_faults(job)
    return found


def wrong_types(job):
    """The keys whose value is of no kind that they may have, paths counting as strings."""
    return [key for key, value in job.items() if key in KEYS and not any(
        loosely(value, kind) for kind in as_tuple(KEYS[key]))]


def loosely(value, kind):
    if not isinstance(kind, str):
        return isinstance(value, type(kind))
    return is_kind(value, {PATH: STRING, PATHS: STRINGS}.get(kind, kind))


def as_tuple(kinds):
    return kinds if isinstance(kinds, tuple) else (kinds,)


def program_faults(job):
    arguments = job.get('ProgramArguments')
    if 'Program' not in job and 'BundleProgram' not in job and not arguments:
        return ['Program, ProgramArguments: both are missing']
    if arguments == []:
        return ['ProgramArguments: empty']
    if 'Program' not in job and isinstance(arguments, list):
        if not is_kind(arguments[0], PATH):
            return [f'ProgramArguments: the first is not {PATH}: {arguments[0]!r}']
    return []


def value_faults(job):
    found = []
    kind = job.get('ProcessType')
    if isinstance(kind, str) and kind not in PROCESS_TYPES:
        found.append(f'ProcessType: unknown: {kind!r}')
    for session in sessions(job):
        if isinstance(session, str) and session not in SESSIONS:
            found.append(f'LimitLoadToSessionType: unknown: {session!r}')
    for key in ('StartInterval', 'ThrottleInterval'):
        value = job.get(key)
        if is_kind(value, NUMBER) and value <= 0:
            found.append(f'{key}: not above zero: {value}')
    try:
        mask = umask(job)
        if not 0 <= mask <= 0o777:
            found.append(f'Umask: not within 0 and 511, which is 0777: {mask}')
    except (ValueError, TypeError):
        found.append(f'Umask: not a number: {job["Umask"]!r}')
    return found


def sessions(job):
    value = job.get('LimitLoadToSessionType', 'Aqua')
    return value if isinstance(value, list) else [value]


def umask(job, default=0o022):
    """A string goes through strtoul(3): a leading 0 makes it octal."""
    value = job.get('Umask', default)
    if isinstance(value, str):
        octal = value.startswith('0') and value.lower()[:2] != '0x'
        return int(value, 8 if octal else 0)
    return value
