"""The endings of the files that Pillow and libsndfile read, from the libraries' lists."""

from functools import cache

from PIL import Image, ImageFile

FOREIGN = frozenset({"EPS", "MPEG"})  # PostScript runs a program; of films Pillow reads no picture
# libsndfile lists its formats without their endings; RAW has no header, MAT holds other numbers too
AUDIO_ENDINGS = {
    "AIFF": (".aif", ".aifc", ".aiff"),
    "AU": (".au", ".snd"),
    "AVR": (".avr",),
    "CAF": (".caf",),
    "FLAC": (".flac",),
    "HTK": (".htk",),
    "IRCAM": (".sf",),
    "MP3": (".mp3",),
    "MPC2K": (".mpc",),
    "NIST": (".nist", ".sph"),
    "OGG": (".oga", ".ogg", ".opus"),
    "PAF": (".paf",),
    "PVF": (".pvf",),
    "RF64": (".rf64",),
    "SD2": (".sd2",),
    "SDS": (".sds",),
    "SVX": (".8svx", ".iff", ".svx"),
    "VOC": (".voc",),
    "W64": (".w64",),
    "WAV": (".wav", ".wave"),
    "WVE": (".wve",),
    "XI": (".xi",),
}


@cache
def image_endings() -> frozenset[str]:
    """The endings of all formats that this Pillow decodes, such as `.jpg`, in lower case."""
    Image.init()
    decoded = {
        name
        for name, (factory, _) in Image.OPEN.items()
        if name not in FOREIGN
        and not (isinstance(factory, type) and issubclass(factory, ImageFile.StubImageFile))
    }
    endings = Image.registered_extensions().items()
    return frozenset(ending for ending, name in endings if name in decoded)


@cache
def audio_endings() -> frozenset[str]:
    """The endings of all formats that this libsndfile decodes, such as `.wav`, in lower case."""
    import soundfile  # not needed for images

    known = soundfile.available_formats()
    return frozenset(
        ending for name, endings in AUDIO_ENDINGS.items() if name in known for ending in endings
    )
