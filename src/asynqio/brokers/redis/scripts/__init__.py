"""The Lua scripts, and the code that loads them."""
