"""The texts of print, print-disabled and list, as near as samples show them.

The manual says of print: "This output is NOT API in any sense at all."
"""

import plists
from errors import EXITS, SIGNALS

KINDS = {'Interactive': 'interactive (4)', 'Background': 'background (2)',
         'Adaptive': 'adaptive (6)', 'Standard': 'daemon (3)'}


def block(name, rows, indent=1):
    tabs = '\t' * indent
    return [f'{tabs}{name} = {{', *(f'{tabs}\t{row}' for row in rows), f'{tabs}}}', '']


def service(job):
    plist = job.plist
    lines = [
        f'{job.domain}/{job.label} = {{',
        f'\tactive count = {1 if job.process else 0}',
        f'\tpath = {job.path}',
        f'\ttype = {"LaunchDaemon" if job.domain.kind == "system" else "LaunchAgent"}',
        f'\tstate = {job.state}',
        '',
        f'\tprogram = {job.program}',
        *block('arguments', job.arguments),
    ]
    if 'WorkingDirectory' in plist:
        lines += [f'\tworking directory = {plist["WorkingDirectory"]}', '']
    if 'StandardOutPath' in plist:
        lines.append(f'\tstdout path = {plist["StandardOutPath"]}')
    if 'StandardErrorPath' in plist:
        lines.append(f'\tstderr path = {plist["StandardErrorPath"]}')
    if job.domain.kind != 'system':
        socket = 'SSH_AUTH_SOCK => /private/tmp/com.apple.launchd.model/Listeners'
        lines += block('inherited environment', [socket])
    lines += block('default environment', ['PATH => /usr/bin:/bin:/usr/sbin:/sbin'])
    given = [f'{key} => {value}' for key, value in plist.get('EnvironmentVariables', {}).items()]
    lines += block('environment', ['OSLogRateLimit => 64', *given, f'XPC_SERVICE_NAME => {job.label}'])
    lines += domain_lines(job) + run_lines(job)
    lines += ['\tspawn type = ' + KINDS.get(plist.get('ProcessType'), 'daemon (3)'),
              '\tjetsam priority = 40',
              '\tjetsam memory limit (active) = (unlimited)',
              '\tjetsam memory limit (inactive) = (unlimited)',
              '\tjetsamproperties category = daemon',
              '\tjetsam thread limit = 32',
              '\tcpumon = default']
    if job.runs and not job.process:
        lines.append('\tjob state = exited')
    if 'StartInterval' in plist:
        lines.append(f'\trun interval = {plist["StartInterval"]} seconds')
    lines += ['', f'\tproperties = {properties(plist)}', '}', '']
    return '\n'.join(lines)


def domain_lines(job):
    if job.domain.kind == 'system':
        lines = ['\tdomain = system']
        if job.user:
            lines += [f'\tusername = {job.user}', f'\tgroup = {job.plist.get("GroupName", job.user)}']
    else:
        asid = job.launchd.asid
        lines = [f'\tdomain = {job.domain} [{asid}]', f'\tasid = {asid}']
    if 'Umask' in job.plist:
        lines.append(f'\tumask = {plists.umask(job.plist):o}')
    return lines


def run_lines(job):
    lines = [f'\tminimum runtime = {job.throttle}']
    if not job.process:
        lines.append(f'\tbase minimum runtime = {job.throttle}')
    lines += [f'\texit timeout = {job.exit_timeout}', f'\truns = {job.runs}']
    if job.crashes:
        lines.append(f'\tsuccessive crashes = {job.crashes}')
    if job.process:
        lines += [f'\tpid = {job.pid}', f'\timmediate reason = {job.reason}', '\tforks = 0',
                  '\texecs = 1', '\tinitialized = 1', '\ttrampolined = 1',
                  '\tstarted suspended = 0', '\tproxy started suspended = 0',
                  '\tchecked allocations = 0 (queried = 1)',
                  '\tchecked allocations reason = no host',
                  '\tchecked allocations flags = 0x0']
    lines += [f'\t{how_it_ended(job)}', '']
    keep = job.plist.get('KeepAlive')
    if isinstance(keep, dict) and 'SuccessfulExit' in keep:
        lines += block('semaphores', [f'successful exit => {int(keep["SuccessfulExit"])}'])
    if job.process:
        # Nested lines named like those above: who reads them by name alone errs.
        for number, kind in ((513, 'resource'), (514, 'jetsam')):
            rows = [f'ID = {number}', f'type = {kind}', 'state = active',
                    'active count = 1', f'name = {job.label}']
            lines += block(f'{kind} coalition', rows)
    return lines


def how_it_ended(job):
    """One line or the other, never both."""
    if job.last_signal:
        number = job.last_signal
        return f'last terminating signal = {SIGNALS.get(number, f"Unknown signal: {number}")}'
    if job.last_exit is None:
        return 'last exit code = (never exited)'
    name = EXITS.get(job.last_exit)
    return f'last exit code = {job.last_exit}' + (f': {name}' if name else '')


def properties(plist):
    words = [('keepalive', plist.get('KeepAlive')), ('runatload', plist.get('RunAtLoad')),
             ('launch only once', plist.get('LaunchOnlyOnce')),
             ('abandon process group', plist.get('AbandonProcessGroup')),
             ('inferred program', 'Program' not in plist)]
    return ' | '.join(word for word, is_so in words if is_so is True or isinstance(is_so, dict))


def domain(launchd, name, jobs):
    kind = {'system': 'system', 'user': 'user', 'gui': 'login'}[name.kind]
    running = sum(1 for job in jobs if job.process)
    lines = [f'{name} = {{', f'\ttype = {kind}', f'\thandle = {launchd.asid if kind == "login" else name.uid or 0}',
             f'\tactive count = {running + 1}', f'\tservice count = {len(jobs)}',
             f'\tactive service count = {running}']
    if kind == 'login':
        lines += ['\tcreator = loginwindow', '\tsession = Aqua']
    lines.append('')
    rows = [f'{job.pid or 0:>8}      {"-" if last(job) == 0 else last(job)} \t{job.label}' for job in jobs]
    lines += block('services', rows)
    lines += disabled_block(launchd.disabled(name)) + ['}', '']
    return '\n'.join(lines)


def last(job):
    if job.last_signal:
        return -job.last_signal
    return job.last_exit or 0


def disabled_block(store):
    return block('disabled services', [
        f'"{label}" => {"disabled" if is_so else "enabled"}' for label, is_so in store.items()])


def listing(jobs):
    rows = [f'{job.pid or "-"}\t{last(job)}\t{job.label}\n' for job in jobs]
    return 'PID\tStatus\tLabel\n' + ''.join(rows)


def listed(job):
    lines = ['{']
    for key in ('StandardOutPath', 'StandardErrorPath'):
        if key in job.plist:
            lines.append(f'\t"{key}" = "{job.plist[key]}";')
    session = 'System' if job.domain.kind == 'system' else plists.sessions(job.plist)[0]
    lines += [f'\t"LimitLoadToSessionType" = "{session}";', f'\t"Label" = "{job.label}";',
              f'\t"OnDemand" = {"false" if job.plist.get("KeepAlive") else "true"};',
              f'\t"LastExitStatus" = {(job.last_exit or 0) << 8 | (job.last_signal or 0)};']
    if job.process:
        lines.append(f'\t"PID" = {job.pid};')
    lines += [f'\t"Program" = "{job.program}";', '\t"ProgramArguments" = (',
              *(f'\t\t"{argument}";' for argument in job.arguments), '\t);', '};', '']
    return '\n'.join(lines)
