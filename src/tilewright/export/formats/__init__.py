"""A store in one format each: `write(store, path)`, by the names of `contract.exports`.

`store` is a folder that MERGE wrote, of this release or an earlier one, whose results the format
takes; the file, or folder, at `path` appears when it is whole. A store that can't be read is a
`TilewrightError`; what else is, each says.
"""
