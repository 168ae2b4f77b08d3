"""Reads the text on a screenshot, by the font of the hypervisor's own console."""
import os
import re

WIDTH, HEIGHT = 8, 16


def load_font(build):
    """{the 16 bytes of a glyph: its character}; blanks are the empty one."""
    with open(os.path.join(build, "font.bin"), "rb") as file:
        data = file.read()
    return {data[at:at + HEIGHT]: chr(ord(" ") + at // HEIGHT) for at in range(0, len(data), HEIGHT)}


class Picture:
    """A PPM file as QEMU writes it."""

    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        head = re.match(rb"P6\s(\d+) (\d+)\s255\s", data)
        self.width, self.height = int(head.group(1)), int(head.group(2))
        self.pixels = data[head.end():]

    def pixel(self, x, y):
        at = 3 * (y * self.width + x)
        return self.pixels[at:at + 3]

    def cell(self, column, row):
        """Its glyph, and the last colour that is not black."""
        glyph, colour = bytearray(HEIGHT), None
        for y in range(HEIGHT):
            for x in range(WIDTH):
                found = self.pixel(column * WIDTH + x, row * HEIGHT + y)
                if found != b"\0\0\0":
                    glyph[y] |= 1 << x
                    colour = found.hex()
        return bytes(glyph), colour

    def rows(self, font):
        """[(text, the colours in it)] from the top; what is no glyph is shown as a question mark."""
        for row in range(self.height // HEIGHT):
            cells = [self.cell(column, row) for column in range(self.width // WIDTH)]
            text = "".join(font.get(glyph, "?") for glyph, _ in cells).rstrip()
            yield text, {colour for _, colour in cells} - {None}


def find(path, font, pattern, colour):
    """None when a row has the pattern, and is all of that colour; else what the screen says instead."""
    rows = list(Picture(path).rows(font))
    for text, colours in rows:
        if re.search(pattern, text):
            wrong = colour and colours != {colour}
            return f"{text!r} is written in {', '.join(sorted(colours))}" if wrong else None
    return "the screen says: " + " | ".join(text for text, _ in rows if text)
