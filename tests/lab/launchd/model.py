"""The verbs that no Mac has: starting and stopping the model, reboot, login."""

import json
import os

from errors import Refused
from verbs import DONE, Domain, Later

USAGE = ('usage: launchctl model-start [--for PID] | model-stop | model-reboot |\n'
         '       model-login [UID] | model-logout | model-jobs | model-knob NAME [VALUE…]\n')


class Model:
    def __init__(self, launchd):
        self.launchd = launchd

    def run(self, call):
        name = 'do_' + call.argv[0].removeprefix('model-')
        method = getattr(self, name, None)
        if not method:
            return 64, '', USAGE
        try:
            return method(call, call.argv[1:])
        except Refused as refused:
            return refused.code, '', refused.text

    def do_start(self, call, words):
        return DONE  # It runs, or nobody would answer.

    def do_stop(self, call, words):
        self.launchd.stopping = True
        return Later(lambda: not self.launchd.jobs or all(
            not job.process for job in self.launchd.jobs.values()), lambda: DONE)

    def do_knob(self, call, words):
        if not words:
            return 64, '', USAGE
        self.launchd.knobs.set(words[0], words[1:])
        return DONE

    def do_login(self, call, words):
        """A console login: the gui domain appears, and agents with it."""
        uid = int(words[0]) if words else call.uid
        self.launchd.set_console(uid, call.home)
        self.launchd.load_agents()
        return DONE

    def do_logout(self, call, words):
        gone = self.leave(lambda job: job.domain.kind == 'gui')
        self.launchd.set_console()
        return Later(gone, lambda: DONE)

    def do_reboot(self, call, words):
        """What was only bootstrapped is forgotten; what lies in a folder comes back."""
        gone = self.leave(lambda job: True)
        folder = os.path.join(call.files_root, 'Library/LaunchDaemons')

        def boot():
            self.launchd.load_folder(Domain('system'), folder)
            if self.launchd.console:
                self.launchd.set_console(**self.launchd.console)
                self.launchd.load_agents()
            return DONE
        return Later(gone, boot)

    def leave(self, is_meant):
        jobs = [job for job in self.launchd.jobs.values() if is_meant(job)]
        for job in jobs:
            job.leave()
        return lambda: all(self.launchd.job(job.domain, job.label) is not job for job in jobs)

    def do_jobs(self, call, words):
        rows = [{'target': f'{job.domain}/{job.label}', 'state': job.state, 'pid': job.pid,
                 'runs': job.runs, 'last_exit': job.last_exit, 'last_signal': job.last_signal,
                 'user': job.user, 'path': job.path, 'arguments': job.arguments}
                for job in self.launchd.jobs.values()]
        return 0, json.dumps(rows) + '\n', ''
