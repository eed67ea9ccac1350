"""Interpreters, installers, Nextflow and GPUs of a machine; a bare Python imports it."""
