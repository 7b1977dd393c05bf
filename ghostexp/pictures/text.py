"""Names that a user chose, such as classes, as text of a figure."""


def plain(name: str) -> str:
    """`name` in a form that matplotlib shows letter for letter.

    matplotlib takes what stands between two dollar signs for a formula, so dollar signs are
    escaped. It cannot draw bytes that are not UTF-8, which some file names hold: they are shown as
    escapes.
    """
    return name.encode("utf-8", "backslashreplace").decode().replace("$", r"\$")
