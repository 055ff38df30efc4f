"""The switches of the model: a file each below knobs/, read anew at every use."""

import os


class Knobs:
    def __init__(self, folder):
        self.folder = os.path.join(folder, 'knobs')
        os.makedirs(self.folder, exist_ok=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def get(self, name, default=None):
        try:
            with open(self.path(name)) as file:
                return file.read().strip()
        except FileNotFoundError:
            return default

    def number(self, name, default):
        value = self.get(name)
        return default if value in (None, '') else float(value)

    def code(self, name, default):
        return int(self.number(name, default))

    def names(self, name, label):
        """Whether the knob is on for this label: it lists labels, or says *."""
        words = (self.get(name) or '').split()
        return label in words or '*' in words

    def set(self, name, words):
        if not words:
            try:
                os.unlink(self.path(name))
            except FileNotFoundError:
                pass
            return
        with open(self.path(name), 'w') as file:
            file.write(' '.join(words) + '\n')

    def failure(self, verb, argv):
        """The code that `fail-VERB: CODE [TIMES] [LABEL]` asks for, if it does.

        Each use takes one from TIMES, so that a caller who retries succeeds.
        """
        words = (self.get(f'fail-{verb}') or '').split()
        if not words:
            return None
        code = int(words[0])
        times = int(words[1]) if len(words) > 1 else None
        if len(words) > 2 and not any(words[2] in argument for argument in argv):
            return None
        if times is not None:
            if times <= 0:
                return None
            self.set(f'fail-{verb}', [words[0], str(times - 1), *words[2:]])
        return code
