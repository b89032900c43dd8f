"""The logins of Mosquitto as we ship it (the folder mosquitto/): who has one, and what a board needs to be told.

`password_file`, `logins`, `board` and `certificates` are pure; `folder`, `certificate_files`, `reload` and `address`
do the input and output.
"""
