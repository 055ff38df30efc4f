"""A job of launchd: its process, when that starts again, and how it ended."""

import ctypes
import grp
import os
import pwd
import signal
import subprocess
import time

import plists

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1
PATH = '/usr/bin:/bin:/usr/sbin:/sbin'
EX_CONFIG = 78


class Job:
    def __init__(self, launchd, domain, path, plist):
        self.launchd = launchd
        self.domain = domain
        self.path = path
        self.plist = plist
        self.label = plist['Label']
        self.arguments = plist.get('ProgramArguments') or [plist['Program']]
        self.program = plist.get('Program') or self.arguments[0]
        self.process = None
        self.state = 'not running'
        self.reason = None
        self.runs = 0
        self.crashes = 0
        self.last_exit = None
        self.last_signal = None
        self.started = None
        self.next_spawn = None
        self.kill_at = None
        self.next_interval = self.interval_from(time.monotonic())
        # Booted out: it goes once its process has ended. The label lingers on.
        self.leaving = False
        self.gone_at = None
        # Killed so that it starts again: kickstart -k.
        self.restart = False

    # What the plist says, with launchd's defaults.

    @property
    def pid(self):
        return self.process.pid if self.process else None

    @property
    def throttle(self):
        # 0 is ignored: "You're not that important."
        return self.plist.get('ThrottleInterval') or 10

    @property
    def exit_timeout(self):
        return self.plist.get('ExitTimeOut', 5)

    @property
    def user(self):
        return self.plist.get('UserName') if self.domain.kind == 'system' else None

    @property
    def starts_at_load(self):
        keep = self.plist.get('KeepAlive')
        if isinstance(keep, dict):
            # SuccessfulExit implies RunAtLoad: without a first run there is no exit.
            if keep.get('AfterInitialDemand'):
                return False
            return bool(self.plist.get('RunAtLoad')) or 'SuccessfulExit' in keep or 'Crashed' in keep
        return bool(self.plist.get('RunAtLoad') or keep)

    def keeps_alive(self):
        keep = self.plist.get('KeepAlive')
        if not isinstance(keep, dict):
            return bool(keep)
        failed = self.last_signal is not None or self.last_exit != 0
        if 'SuccessfulExit' in keep and keep['SuccessfulExit'] != failed:
            return True
        return 'Crashed' in keep and keep['Crashed'] == (self.last_signal is not None)

    def interval_from(self, now):
        seconds = self.plist.get('StartInterval')
        return now + self.launchd.scaled(seconds) if seconds else None

    # Starting.

    def load(self):
        if self.starts_at_load and not self.never_spawns():
            keep = self.plist.get('KeepAlive')
            self.spawn('semaphore' if isinstance(keep, dict) else 'speculative')

    def never_spawns(self):
        knobs = self.launchd.knobs
        return knobs.names('never-spawns', self.label) or knobs.names('cannot-spawn', self.label)

    def spawn(self, reason):
        if self.launchd.knobs.names('cannot-spawn', self.label):
            return
        self.next_spawn = None
        self.kill_at = None
        self.runs += 1
        self.reason = reason
        self.started = time.monotonic()
        try:
            self.process = self.popen()
            self.state = 'running'
        except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
            self.launchd.log(f'{self.label}: could not spawn: {error}')
            self.ended(EX_CONFIG << 8)

    def popen(self):
        if not self.program.startswith('/'):
            raise ValueError(f'not an absolute path: {self.program}')
        uid, gid, name = self.identity()
        logs = [self.plist.get('StandardOutPath'), self.plist.get('StandardErrorPath')]
        for path in logs:
            self.make_folder_of(path, uid, gid)
        credentials = {}
        if os.geteuid() == 0 and uid != 0:
            groups = os.getgrouplist(name, gid) if name else []
            credentials = {'user': uid, 'group': gid, 'extra_groups': groups}
        parent = os.getpid()

        def prepare():
            # No process outlives the keeper, however that ends.
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)
            mask = os.umask(0o022)
            for number, path in zip((1, 2), logs):
                if path:
                    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
                    os.dup2(file, number)
                    os.close(file)
            os.umask(mask)

        return subprocess.Popen(
            self.arguments, executable=self.program, env=self.environment(uid, name),
            cwd=self.plist.get('WorkingDirectory', '/'), umask=plists.umask(self.plist),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True, preexec_fn=prepare, **credentials)

    def identity(self):
        """Whom the process runs as: uid, gid, name. KeyError where nobody is."""
        if self.user:
            entry = pwd.getpwnam(self.user)
            group = self.plist.get('GroupName')
            gid = grp.getgrnam(group).gr_gid if group else entry.pw_gid
            return entry.pw_uid, gid, entry.pw_name
        uid = 0 if self.domain.kind == 'system' else self.domain.uid
        try:
            entry = pwd.getpwuid(uid)
            return uid, entry.pw_gid, entry.pw_name
        except KeyError:
            return uid, uid, None

    def make_folder_of(self, path, uid, gid):
        """launchd makes the folder with the mode 0744. For a daemon it is root's,
        whoever the daemon runs as, who then cannot enter it."""
        folder = os.path.dirname(path or '')
        if not folder or os.path.isdir(folder):
            return
        missing = folder
        while not os.path.isdir(os.path.dirname(missing)):
            missing = os.path.dirname(missing)
        mask = os.umask(0o022)
        try:
            self.make_folders(missing, folder, uid, gid)
        finally:
            os.umask(mask)

    def make_folders(self, first, last, uid, gid):
        part = first
        while True:
            os.mkdir(part, 0o766)
            if self.domain.kind != 'system' and os.geteuid() == 0:
                os.chown(part, uid, gid)
            if part == last:
                return
            part = os.path.join(part, os.path.relpath(last, part).split('/')[0])

    def environment(self, uid, name):
        values = {'PATH': PATH, 'XPC_SERVICE_NAME': self.label, 'XPC_FLAGS': '0x0'}
        # A daemon of root's own has no HOME; one with a UserName has.
        if self.user or self.domain.kind != 'system':
            values['HOME'] = self.launchd.home_of(uid)
            values['SHELL'] = '/bin/sh'
            values['TMPDIR'] = '/tmp/'
            if name:
                values['USER'] = values['LOGNAME'] = name
        if self.domain.kind != 'system':
            values['SSH_AUTH_SOCK'] = '/private/tmp/com.apple.launchd.model/Listeners'
        values.update(self.plist.get('EnvironmentVariables', {}))
        return values

    # Ending.

    def stop(self, then=None):
        """SIGTERM; SIGKILL after ExitTimeOut, unless that is 0."""
        if then == 'restart':
            self.restart = True
        if not self.process or self.state in ('SIGTERMed', 'SIGKILLed'):
            return
        self.signal(signal.SIGTERM)
        self.state = 'SIGTERMed'
        if self.exit_timeout:
            self.kill_at = time.monotonic() + self.launchd.scaled(self.exit_timeout)

    def leave(self):
        self.leaving = True
        self.next_spawn = self.next_interval = None
        if self.process:
            self.stop()
        elif self.gone_at is None:
            self.gone_at = time.monotonic()

    def signal(self, number):
        if self.process:
            try:
                self.process.send_signal(number)
            except ProcessLookupError:
                pass

    def reap(self):
        if not self.process:
            return
        code = self.process.poll()
        if code is None:
            return
        if not self.plist.get('AbandonProcessGroup'):
            self.signal_group(signal.SIGTERM)
        self.process = None
        self.ended(-code if code < 0 else code << 8)

    def signal_group(self, number):
        # Its group bears the pid of its first process, which is a session leader.
        if self.process:
            try:
                os.killpg(self.process.pid, number)
            except (ProcessLookupError, PermissionError):
                pass

    def ended(self, status):
        """status as wait(2) gives it."""
        now = time.monotonic()
        self.kill_at = None
        self.last_signal = status & 0x7f or None
        self.last_exit = None if self.last_signal else status >> 8
        self.crashes = self.crashes + 1 if self.last_signal or self.last_exit else 0
        self.state = 'not running'
        if self.leaving:
            linger = self.launchd.knobs.number('linger', 0.5)
            self.gone_at = now + self.launchd.scaled(linger)
        elif self.restart:
            self.restart = False
            self.spawn('non-ipc demand')
        elif self.keeps_alive():
            self.state = 'spawn scheduled'
            self.next_spawn = max(now, self.started + self.launchd.scaled(self.throttle))

    # Time.

    def tick(self, now):
        self.reap()
        if self.kill_at is not None and now >= self.kill_at:
            self.kill_at = None
            self.state = 'SIGKILLed'
            self.signal(signal.SIGKILL)
        if self.next_interval is not None and now >= self.next_interval:
            self.next_interval = self.interval_from(now)
            if not self.process and not self.never_spawns():
                self.spawn('interval')
        if self.next_spawn is not None and now >= self.next_spawn:
            self.next_spawn = None
            if not self.never_spawns():
                keep = self.plist.get('KeepAlive')
                self.spawn('semaphore' if isinstance(keep, dict) else 'inefficient')

    def deadlines(self):
        times = (self.kill_at, self.next_spawn, self.next_interval, self.gone_at)
        return [time for time in times if time is not None]

    @property
    def gone(self):
        return self.leaving and not self.process and (
            self.gone_at is not None and time.monotonic() >= self.gone_at)
