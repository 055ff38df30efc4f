"""The codes of launchd and what launchctl prints for each.

Up to 106 they are those of Darwin, which differ from Linux's: 36 and 37 among
them. From 107 they are launchd's own. README.md says where each was seen.
"""

TEXTS = {
    1: 'Operation not permitted',
    2: 'No such file or directory',
    3: 'No such process',
    5: 'Input/output error',
    13: 'Permission denied',
    17: 'File exists',
    22: 'Invalid argument',
    36: 'Operation now in progress',
    37: 'Operation already in progress',
    107: 'Malformed bundle',
    108: 'Invalid path',
    109: 'Invalid property list',
    110: 'Invalid or missing service identifier',
    111: 'Invalid or missing Program/ProgramArguments',
    112: 'Could not find specified domain',
    113: 'Could not find specified service',
    114: 'The specified username does not exist',
    115: 'The specified group does not exist',
    116: 'Routine not yet implemented',
    118: 'Bad response from server',
    119: 'Service is disabled',
    120: 'Bad subsystem destination for request',
    121: 'Path not searched for services',
    122: 'Path had bad ownership/permissions',
    124: 'Domain is tearing down',
    125: 'Domain does not support specified action',
    133: 'Multiple errors were returned; see stderr',
    134: 'Service cannot load in requested session',
    135: 'Process is not managed',
    137: 'Service does not support the specified action',
    139: 'Service cannot presently execute',
    140: 'Service name is reserved or invalid',
    144: 'Requestor lacks required entitlement',
    150: 'Operation not permitted while System Integrity Protection is engaged',
    155: 'Refusing to execute/trust quarantined program/file',
    159: 'Sandbox restriction',
    161: 'Service cannot be launched because of BTM policy',
}

# The names that follow an exit code in `print`: sysexits(3).
EXITS = {
    64: 'EX_USAGE', 65: 'EX_DATAERR', 66: 'EX_NOINPUT', 67: 'EX_NOUSER',
    68: 'EX_NOHOST', 69: 'EX_UNAVAILABLE', 70: 'EX_SOFTWARE', 71: 'EX_OSERR',
    72: 'EX_OSFILE', 73: 'EX_CANTCREAT', 74: 'EX_IOERR', 75: 'EX_TEMPFAIL',
    76: 'EX_PROTOCOL', 77: 'EX_NOPERM', 78: 'EX_CONFIG',
}

# What strsignal(3) calls them on Darwin, by the number they have here.
SIGNALS = {
    1: 'Hangup: 1', 2: 'Interrupt: 2', 3: 'Quit: 3', 4: 'Illegal instruction: 4',
    5: 'Trace/BPT trap: 5', 6: 'Abort trap: 6', 7: 'Bus error: 10',
    8: 'Floating point exception: 8', 9: 'Killed: 9', 10: 'User defined signal 1: 30',
    11: 'Segmentation fault: 11', 12: 'User defined signal 2: 31', 13: 'Broken pipe: 13',
    14: 'Alarm clock: 14', 15: 'Terminated: 15',
}

USAGE = 64
HINT = 'Try re-running the command as root for richer errors.\n'


class Refused(Exception):
    """An answer other than success: its exit code, and what goes to stderr."""

    def __init__(self, code, text=''):
        super().__init__(text)
        self.code = code
        self.text = text


def text(code):
    return TEXTS.get(code, f'Unknown error: {code}')


def envelope(prefix, code, root, path=None):
    """What launchctl prints when bootstrap or bootout fails.

    Root is told more: which path, and why.
    """
    lines = ''
    if root and path and code not in (5, 125):
        why = 'service already bootstrapped' if code == 37 else text(code)
        lines = f'{path}: {why}\n'
    lines += f'{prefix} failed: {code}: {text(code)}\n'
    if code == 5 and not root:
        lines += HINT
    return lines
