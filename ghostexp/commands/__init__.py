"""The commands of `ghostexp`: one file each, whose `main` reads the words and calls the library."""
