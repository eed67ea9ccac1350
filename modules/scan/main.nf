// [scan.json] of a big image in; its jobs out, with statistics and the place of a tiled copy.
process SCAN {
    tag "${scan.baseName}"
    cache 'deep'

    input:
    path scan

    output:
    path 'jobs/*.json', emit: jobs
    path 'copy.zarr', emit: copy, optional: true

    script:
    """
    "\$TILEWRIGHT_STEP" scan ${scan}
    """

    stub:
    """
    mkdir jobs
    cp ${scan} jobs/${scan.baseName}_1_00000.json
    """
}
