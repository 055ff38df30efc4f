"""The process that is launchd: it owns the jobs and answers launchctl.

It ends, and every job with it, at `model-stop`, with the process that it was
started for, with its folder, and after LAUNCHD_MODEL_LIFE seconds.
"""

import ctypes
import json
import os
import plistlib
import pwd
import selectors
import signal
import socket
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from errors import Refused  # noqa: E402  (these lie beside this file)
from jobs import LIBC  # noqa: E402
from knobs import Knobs  # noqa: E402
from model import Model  # noqa: E402
from verbs import Domain, Later, Verbs, make_job  # noqa: E402

PR_SET_CHILD_SUBREAPER = 36


class Call:
    def __init__(self, data):
        self.argv = data['argv']
        self.uid = data['uid']
        self.cwd = data['cwd']
        self.home = data['home']
        self.files_root = data['root']
        self.tty = data['tty']
        self.root = self.uid == 0

    def files(self, paths):
        found = []
        for path in paths:
            path = os.path.normpath(os.path.join(self.cwd, path))
            found += plists_in(path) if os.path.isdir(path) else [path]
        return found


def plists_in(folder):
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [os.path.join(folder, name) for name in names if name.endswith('.plist')]


class Launchd:
    def __init__(self, folder):
        self.folder = folder
        self.knobs = Knobs(folder)
        self.jobs = {}
        self.asid = 100003
        self.stopping = False
        # Without root the model cannot make files of root's: its own user's stand in.
        self.owner_of_system = {0, os.geteuid()}
        self.verbs = Verbs(self)
        self.model = Model(self)

    def log(self, text):
        print(f'{time.time():.3f} {text}', file=sys.stderr, flush=True)

    def scaled(self, seconds):
        return seconds / (float(self.knobs.get('speed') or os.environ.get('LAUNCHD_MODEL_SPEED') or 1))

    # Who is logged in at the console, which outlives a reboot: automatic login.

    @property
    def console(self):
        try:
            with open(os.path.join(self.folder, 'console.json')) as file:
                return json.load(file)
        except FileNotFoundError:
            return None

    @property
    def console_uid(self):
        console = self.console
        return console['uid'] if console else None

    def set_console(self, uid=None, home=None):
        path = os.path.join(self.folder, 'console.json')
        if uid is None:
            if os.path.exists(path):
                os.unlink(path)
            return
        self.asid += 1
        with open(path, 'w') as file:
            json.dump({'uid': uid, 'home': home}, file)

    def home_of(self, uid):
        console = self.console
        if console and console['uid'] == uid and console['home']:
            return console['home']
        if uid == os.geteuid() and os.environ.get('HOME'):
            return os.environ['HOME']
        try:
            return pwd.getpwuid(uid).pw_dir
        except KeyError:
            return '/var/empty'

    # Overrides: one store for the system, one for each uid.

    def store(self, domain):
        name = 'disabled.plist' if domain.kind == 'system' else f'disabled.{domain.uid}.plist'
        return os.path.join(self.folder, name)

    def disabled(self, domain):
        try:
            with open(self.store(domain), 'rb') as file:
                return plistlib.load(file)
        except FileNotFoundError:
            return {}

    def set_disabled(self, domain, label, disabled):
        store = {**self.disabled(domain), label: disabled}
        with open(self.store(domain) + '.new', 'wb') as file:
            plistlib.dump(store, file)
        os.rename(self.store(domain) + '.new', self.store(domain))

    def is_disabled(self, domain, plist):
        # The store outweighs the file's own key.
        return self.disabled(domain).get(plist['Label'], plist.get('Disabled', False))

    # Jobs.

    def job(self, domain, label):
        return self.jobs.get((domain, label))

    def jobs_in(self, domain):
        return [job for job in self.jobs.values() if job.domain == domain]

    def load(self, domain, path):
        job = make_job(self, domain, path)
        old = self.job(domain, job.label)
        if old:
            # Still leaving or there to stay: launchd says 37, and whoever is not
            # root sees 5.
            raise Refused(self.knobs.code('code-leaving' if old.leaving else 'code-loaded', 37))
        if self.is_disabled(domain, job.plist):
            raise Refused(self.knobs.code('code-disabled', 119))
        self.jobs[(domain, job.label)] = job
        job.load()

    def load_folder(self, domain, folder):
        """As at boot and at login: what cannot be loaded is passed over."""
        for path in plists_in(folder):
            if os.path.islink(path):
                self.log(f'{path}: a symbolic link is not loaded')
                continue
            try:
                self.load(domain, path)
            except Refused as refused:
                self.log(f'{path}: {refused.code}')

    def load_agents(self):
        """Into gui. Those of a user domain are not found again after a reboot."""
        console = self.console
        folder = os.path.join(console['home'], 'Library/LaunchAgents')
        self.load_folder(Domain('gui', console['uid']), folder)

    def tick(self):
        now = time.monotonic()
        for key, job in list(self.jobs.items()):
            job.tick(now)
            if job.gone:
                del self.jobs[key]

    def next_deadline(self):
        return min((time for job in self.jobs.values() for time in job.deadlines()), default=None)


class Keeper:
    def __init__(self, folder):
        self.launchd = Launchd(folder)
        self.waiting = []
        self.selector = selectors.DefaultSelector()
        self.end = time.monotonic() + float(os.environ.get('LAUNCHD_MODEL_LIFE', 900))
        self.inode = os.stat(folder).st_ino
        self.starter = None

    def listen(self):
        # The folder is this process's own: the path of a socket must be short.
        if os.path.exists('socket'):
            os.unlink('socket')
        listener = socket.socket(socket.AF_UNIX)
        listener.bind('socket')
        os.chmod('socket', 0o666)
        listener.listen(64)
        self.selector.register(listener, selectors.EVENT_READ, self.accept)
        read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.on_signal)
        self.selector.register(read, selectors.EVENT_READ, lambda file: os.read(file, 4096))

    def on_signal(self, number, _frame):
        if number != signal.SIGCHLD:
            self.launchd.stopping = True

    def watch(self, pid):
        """Ends with that process. A pid that is gone already ends it at once."""
        if self.starter is not None:
            self.selector.unregister(self.starter)
            os.close(self.starter)
            self.starter = None
        try:
            self.starter = os.pidfd_open(pid)
        except ProcessLookupError:
            self.launchd.stopping = True
            return
        self.selector.register(self.starter, selectors.EVENT_READ, self.starter_ended)

    def starter_ended(self, file):
        self.selector.unregister(file)
        self.starter = None
        self.launchd.stopping = True

    def accept(self, listener):
        connection, _ = listener.accept()
        connection.settimeout(5)
        try:
            line = connection.makefile('r').readline()
            if not line:  # Somebody looked whether anybody is here.
                connection.close()
                return
            data = json.loads(line)
            if data.get('watch'):
                self.watch(data['watch'])
            answer = self.answer(Call(data))
        except (OSError, ValueError) as error:
            self.launchd.log(f'a call that made no sense: {error!r}')
            connection.close()
            return
        if isinstance(answer, Later):
            self.waiting.append((connection, answer))
        else:
            self.reply(connection, answer)

    def answer(self, call):
        self.launchd.tick()
        verb = call.argv[0] if call.argv else ''
        try:
            if verb.startswith('model-'):
                return self.launchd.model.run(call)
            return self.launchd.verbs.run(call)
        except Exception as error:  # A fault of the model must show in the test.
            self.launchd.log(f'{call.argv}: {error!r}')
            return 70, '', f'launchctl model: a fault of its own: {error!r}\n'

    def reply(self, connection, answer):
        try:
            connection.sendall(json.dumps(answer).encode())
        except OSError:
            pass  # Whoever asked has given up.
        connection.close()

    def reply_to_those_waiting(self):
        left = []
        for connection, later in self.waiting:
            if later.is_so():
                self.reply(connection, later.answer())
            else:
                left.append((connection, later))
        self.waiting = left

    def run(self):
        while not self.launchd.stopping:
            self.launchd.tick()
            self.reap_orphans()
            self.reply_to_those_waiting()
            now = time.monotonic()
            if now > self.end or not self.folder_is_ours():
                break
            deadline = self.launchd.next_deadline()
            pause = 0.25 if deadline is None else min(0.25, max(0.0, deadline - now))
            for key, _ in self.selector.select(0.005 if self.waiting else pause):
                key.data(key.fileobj)
        self.stop()

    def folder_is_ours(self):
        try:
            return os.stat(self.launchd.folder).st_ino == self.inode
        except OSError:
            return False

    def reap_orphans(self):
        """A job's descendants come to this process when their parents end."""
        ours = {job.pid for job in self.launchd.jobs.values()}
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None or found.si_pid in ours:
                return
            os.waitpid(found.si_pid, 0)

    def stop(self):
        """Every job gets its chance, three seconds at most; then nothing is left."""
        deadline = time.monotonic() + 3
        for job in self.launchd.jobs.values():
            job.leave()
        while any(job.process for job in self.launchd.jobs.values()) and time.monotonic() < deadline:
            self.launchd.tick()
            self.reap_orphans()
            time.sleep(0.005)
        while children := children_of(os.getpid()):
            for pid in children:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        if self.folder_is_ours():
            os.unlink('socket')
        self.reply_to_those_waiting()


def children_of(pid):
    with open(f'/proc/{pid}/task/{pid}/children') as file:
        return [int(word) for word in file.read().split()]


def main():
    folder = os.getcwd()
    # Any user may ask, and leave a line in the log of calls.
    os.umask(0)
    open('calls.jsonl', 'a').close()
    open('start.lock', 'a').close()
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1))
    keeper = Keeper(folder)
    keeper.listen()
    with open('keeper.pid', 'w') as file:
        file.write(f'{os.getpid()}\n')
    os.write(1, b'ready\n')
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    keeper.run()


if __name__ == '__main__':
    main()
