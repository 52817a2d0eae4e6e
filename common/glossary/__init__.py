"""The words of the system, gathered from the declarations themselves: who says what to whom, and what it leads to.

`gather.glossary()` gives it as plain text and lists, without any class or function of a context: who shows it needs to
know none. Which rules may refuse a command, and which events it may lead to, is read from the source (`reach`).
"""
