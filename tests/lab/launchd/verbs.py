"""The verbs of launchctl. Each gets the call and answers (exit code, stdout,
stderr), or a Later when it has to wait for a process."""

import os
import signal
import stat
from dataclasses import dataclass

import errors
import plists
import show
from errors import Refused
from jobs import Job

LEGACY = {'load': 'bootstrap', 'unload': 'bootout', 'start': 'kickstart',
          'stop': 'kill or bootout', 'remove': 'bootout', 'submit': 'bootstrap'}
# The exit code for a legacy verb is one that launchctl never gives.
LEGACY_EXIT = 99
# What somebody who is not root is told as 5: what is wrong is in the log only.
FOR_ROOT_ONLY = (37, 108, 109, 110, 111, 122)
DONE = (0, '', '')


@dataclass(frozen=True)
class Domain:
    kind: str
    uid: int | None = None

    def __str__(self):
        return self.kind if self.uid is None else f'{self.kind}/{self.uid}'

    @property
    def words(self):
        """As it is named after "in domain for"."""
        return {'system': 'system', 'gui': f'user gui: {self.uid}'}.get(self.kind, f'uid: {self.uid}')


@dataclass
class Later:
    is_so: object
    answer: object


class Verbs:
    def __init__(self, launchd):
        self.launchd = launchd
        self.knobs = launchd.knobs

    def run(self, call):
        verb = call.argv[0] if call.argv else ''
        if verb in LEGACY:
            return LEGACY_EXIT, '', (f'launchctl model: {verb} is legacy and must not be used; '
                                     f'launchctl(1) recommends {LEGACY[verb]}\n')
        method = getattr(self, 'do_' + verb.replace('-', '_'), None)
        if not method:
            return errors.USAGE, '', (f'Unrecognized subcommand: {verb}\n'
                                      'Usage: launchctl <subcommand> ... | help [subcommand]\n')
        try:
            code = self.knobs.failure(verb, call.argv)
            if code:
                raise self.forced(verb, code, call)
            return method(call, call.argv[1:])
        except Refused as refused:
            return refused.code, '', refused.text

    def forced(self, verb, code, call):
        names = {'bootstrap': 'Bootstrap', 'bootout': 'Boot-out'}
        if verb in names:
            return Refused(code, errors.envelope(names[verb], code, call.root))
        label = call.argv[-1].rpartition('/')[2]
        if verb == 'kickstart':
            return Refused(code, f'Could not kickstart service "{label}": {code}: {errors.text(code)}\n')
        return Refused(code, f'Could not {verb} service: {code}: {errors.text(code)}\n')

    # Targets.

    def target(self, call, word):
        """A domain and a label, which is empty where the word names a domain."""
        parts = word.split('/')
        if parts[0] == 'system':
            return Domain('system'), '/'.join(parts[1:])
        if parts[0] in ('user', 'gui') and len(parts) > 1 and parts[1].isdigit():
            return Domain(parts[0], int(parts[1])), '/'.join(parts[2:])
        if parts[0] in ('pid', 'login', 'session') and len(parts) > 1 and parts[1].isdigit():
            raise Refused(112, f'Could not find domain for {parts[0]}: {parts[1]}\n')
        raise Refused(errors.USAGE, 'Unrecognized target specifier.\n')

    def service(self, call, words):
        if len(words) != 1:
            raise Refused(errors.USAGE, 'Usage: launchctl ' + call.argv[0] + ' <service-target>\n')
        domain, label = self.target(call, words[0])
        if not label:
            raise Refused(errors.USAGE, 'Unrecognized target specifier. <service-target> takes a form '
                                        'of <domain-target>/<service-id>.\n')
        return domain, label

    def exists(self, domain):
        return domain.kind != 'gui' or self.launchd.console_uid == domain.uid

    def may_change(self, call, domain):
        return call.root or domain.uid == call.uid

    def need_domain(self, call, domain, prefix):
        """For what changes something. A gui domain without a console login is no
        domain that could."""
        if not self.exists(domain):
            code = self.knobs.code('code-no-gui', 125)
            raise Refused(code, f'{prefix}: {code}: {errors.text(code)}\n'
                          + (errors.HINT if code == 5 and not call.root else ''))
        if not self.may_change(call, domain):
            code = self.knobs.code('code-not-root', 1)
            raise Refused(code, f'{prefix}: {code}: {errors.text(code)}\n'
                          + (errors.HINT if code == 5 else ''))

    def need_job(self, call, domain, label, first=''):
        job = self.launchd.job(domain, label)
        if not job:
            raise Refused(113, f'{first}Could not find service "{label}" in domain for {domain.words}\n')
        return job

    # Loading and unloading.

    def do_bootstrap(self, call, words):
        if not words:
            raise Refused(errors.USAGE, 'Usage: launchctl bootstrap <domain-target> [service-path, ...]\n')
        domain, label = self.target(call, words[0])
        if label or len(words) < 2:
            raise Refused(errors.USAGE, 'Unrecognized target specifier.\n')
        self.need_domain(call, domain, 'Bootstrap failed')
        failures = []
        for path in call.files(words[1:]):
            try:
                self.launchd.load(domain, path)
            except Refused as refused:
                code = refused.code
                if not call.root and code in FOR_ROOT_ONLY and not self.knobs.get('richer'):
                    code = 5
                failures.append((code, path))
        if not failures:
            return DONE
        code = failures[0][0] if len(failures) == 1 else 133
        text = ''.join(f'{path}: {errors.text(one)}\n' for one, path in failures) if code == 133 else ''
        path = failures[0][1] if len(failures) == 1 else None
        return code, '', text + errors.envelope('Bootstrap', code, call.root, path)

    def do_bootout(self, call, words):
        if not words or words[0].startswith('-'):
            # --wait is known to some versions only; macOS 15 takes it for a target.
            raise Refused(errors.USAGE, 'Unrecognized target specifier.\n')
        domain, label = self.target(call, words[0])
        self.need_domain(call, domain, 'Boot-out failed')
        code = 3
        if label:
            job = self.launchd.job(domain, label)
        elif len(words) == 2:
            path = call.files(words[1:])[0]
            job = next((job for job in self.launchd.jobs_in(domain) if job.path == path), None)
            code = self.knobs.code('code-bootout-path', 5)
        else:
            # The manual allows it. Whoever does it by mistake ends every job.
            raise Refused(LEGACY_EXIT, 'launchctl model: refuses to tear down a whole domain\n')
        if not job:
            raise Refused(code, errors.envelope('Boot-out', code, call.root))
        # Asked a second time while it ends, launchd says that it is at it.
        code = self.knobs.code('code-bootout-again', 36) if job.leaving else self.knobs.code('code-bootout', 0)
        job.leave()
        return (code, '', errors.envelope('Boot-out', code, call.root)) if code else DONE

    # Overrides.

    def do_enable(self, call, words):
        return self.override(call, words, False)

    def do_disable(self, call, words):
        return self.override(call, words, True)

    def override(self, call, words, disabled):
        domain, label = self.service(call, words)
        self.need_domain(call, domain, f'Could not {call.argv[0]} service')
        self.launchd.set_disabled(domain, label, disabled)
        return DONE

    def do_print_disabled(self, call, words):
        if len(words) != 1:
            raise Refused(errors.USAGE, 'Usage: launchctl print-disabled <domain-target>\n')
        domain, _ = self.target(call, words[0])
        self.need_to_read(call, domain)
        return 0, '\n'.join(show.disabled_block(self.launchd.disabled(domain))), ''

    # Processes.

    def do_kickstart(self, call, words):
        flags = ''.join(word[1:] for word in words if word.startswith('-'))
        if set(flags) - set('kps'):
            raise Refused(errors.USAGE, 'Usage: launchctl kickstart [-k] [-p] [-s] <service-target>\n')
        domain, label = self.service(call, [word for word in words if not word.startswith('-')])
        self.need_domain(call, domain, f'Could not kickstart service "{label}"')
        job = self.need_job(call, domain, label)
        if job.leaving:
            raise Refused(37)
        if self.launchd.is_disabled(domain, job.plist):
            raise Refused(119, f'Could not kickstart service "{label}": 119: {errors.text(119)}\n')
        old = job.runs
        if job.process and 'k' not in flags:
            # Already running: launchctl prints nothing and ends with the code.
            raise Refused(37)
        if job.process:
            job.stop(then='restart')
        else:
            job.spawn('non-ipc demand')

        def answer():
            if 'p' not in flags or not job.pid:
                return DONE
            return 0, f'service spawned with pid: {job.pid}\n' if call.tty else f'{job.pid}\n', ''
        return Later(lambda: job.runs > old or job.leaving or not job.restart, answer)

    def do_kill(self, call, words):
        if len(words) != 2:
            raise Refused(errors.USAGE, 'Usage: launchctl kill <signal-number|signal-name> <service-target>\n')
        name = words[0].upper()
        name = name if name.startswith('SIG') or name.isdigit() else 'SIG' + name
        number = int(name) if name.isdigit() else getattr(signal, name, None)
        if number is None:
            raise Refused(errors.USAGE, 'Invalid signal.\n')
        domain, label = self.service(call, words[1:])
        if not self.may_change(call, domain):
            raise Refused(1, 'Not privileged to signal service.\n')
        self.need_domain(call, domain, 'Could not signal service')
        job = self.need_job(call, domain, label)
        if not job.process:
            raise Refused(3, 'No process to signal.\n')
        job.signal(number)
        return DONE

    # Reading.

    def need_to_read(self, call, domain):
        if self.exists(domain):
            return
        if domain.uid != call.uid and not call.root:
            code = 112
        else:
            code = self.knobs.code('code-no-gui-print', 125)
        if code == 112:
            raise Refused(code, f'Could not find domain for {domain.words}\n')
        raise Refused(code, f'Could not print domain: {code}: {errors.text(code)}\n')

    def do_print(self, call, words):
        if len(words) != 1:
            raise Refused(errors.USAGE, 'Usage: launchctl print <domain-target> | <service-target>\n')
        domain, label = self.target(call, words[0])
        self.need_to_read(call, domain)
        if not label:
            return 0, show.domain(self.launchd, domain, self.launchd.jobs_in(domain)), ''
        return 0, show.service(self.need_job(call, domain, label, 'Bad request.\n')), ''

    def do_blame(self, call, words):
        domain, label = self.service(call, words)
        self.need_to_read(call, domain)
        job = self.need_job(call, domain, label)
        return 0, f'{job.reason if job.process else "(not running)"}\n', ''

    def do_list(self, call, words):
        domain = self.domain_of(call)
        if not words:
            return 0, show.listing(self.launchd.jobs_in(domain)), ''
        job = self.launchd.job(domain, words[0])
        if not job:
            raise Refused(113, f'Could not find service "{words[0]}" in domain for port\n')
        return 0, show.listed(job), ''

    def domain_of(self, call):
        """The domain of the caller's own session, which is all that list knows."""
        if call.root:
            return Domain('system')
        gui = Domain('gui', call.uid)
        return gui if self.exists(gui) else Domain('user', call.uid)

    def do_managername(self, call, words):
        names = {'system': 'System', 'gui': 'Aqua', 'user': 'Background'}
        return 0, names[self.domain_of(call).kind] + '\n', ''

    def do_manageruid(self, call, words):
        return 0, f'{call.uid}\n', ''

    def do_error(self, call, words):
        code = int(words[-1], 0)
        return 0, f'{code}: {errors.text(code)}\n', ''


def check_file(path, domain, owner_of_system):
    """Refuses a file that others could change, as launchd does."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise Refused(2 if error.errno == 2 else 13) from error
    owners = owner_of_system if domain.kind == 'system' else {*owner_of_system, domain.uid}
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or found.st_uid not in owners:
        raise Refused(122)
    if not stat.S_ISREG(found.st_mode):
        raise Refused(108)


def make_job(launchd, domain, path):
    check_file(path, domain, launchd.owner_of_system)
    try:
        plist = plists.read(path)
    except ValueError as error:
        raise Refused(109) from error
    if not isinstance(plist.get('Label'), str) or not plist['Label']:
        raise Refused(110)
    if not plist.get('Program') and not plist.get('ProgramArguments'):
        raise Refused(111)
    if plists.wrong_types(plist):
        # launchd drops some of those silently. A test is better served by a refusal.
        raise Refused(109)
    wanted = {'gui': 'Aqua', 'user': 'Background'}.get(domain.kind)
    if wanted and wanted not in plists.sessions(plist):
        raise Refused(134)
    return Job(launchd, domain, path, plist)
