"""The test rig: pinned tools, private servers and an independent client, shared by the scripts beside this folder."""
