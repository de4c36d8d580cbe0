"""A server under fire: thousands of jobs, clients that come and go, random kills; nothing may be lost or left."""
