"""The programs that a scaled installation is made of, each started, awaited and ended by one class.

The scaled starter and the tests share them. They keep to loopback, and each has its state and its log in a folder.
"""
