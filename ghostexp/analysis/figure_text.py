"""Names that a user chose, such as classes, as text of a figure."""


def plain(name: str) -> str:
    """`name` as matplotlib shows it letter for letter.

    matplotlib takes what stands between two dollar signs for a formula, and cannot draw what is no
    UTF-8, as in some file names: the former are escaped, the latter becomes an escape.
    """
    return name.encode("utf-8", "backslashreplace").decode().replace("$", r"\$")
