// [scan.json] of an image in; its jobs out, with statistics and the places of its tissue and a tiled copy.
process SCAN {
    tag "${scan.baseName}"
    cache 'deep'

    input:
    path scan

    output:
    path 'jobs/*.json', emit: jobs
    path 'copy.zarr', emit: copy, optional: true
    tuple val("${scan.baseName}"), path('found'), emit: found, optional: true

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
