"""What a bench prints, on the terminal and in a file; and which of the targets were met."""


class Report:
    def __init__(self, path):
        self.file = open(path, "w")
        self.met, self.missed = 0, []

    def line(self, text=""):
        print(text, flush=True)
        print(text, file=self.file, flush=True)

    def title(self, text):
        self.line()
        self.line(text)
        self.line("-" * len(text))

    def verdict(self, what, good):
        """"met" or "MISSED", which is remembered under that name."""
        if good:
            self.met += 1
        else:
            self.missed.append(what)
        return "met" if good else "MISSED"

    def target(self, what, value, most):
        """What stands behind a figure that may be that much at most."""
        return f"(target: {most:,}, {self.verdict(what, value <= most)})"

    def summary(self):
        self.title(f"Targets: {self.met} met, {len(self.missed)} missed")
        for what in self.missed:
            self.line(what)
