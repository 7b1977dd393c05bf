"""One run: started, resumed and recorded; and what is done with a finished one."""
