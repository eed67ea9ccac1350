"""Which tiles' objects are one."""
