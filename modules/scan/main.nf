// [scan.json] of an image in; its jobs out, with statistics and the places of its tissue and a tiled copy.
// Tissue is copied, never linked: users edit it, and what PREDICT reads must stay.
process SCAN {
    tag "${scan.baseName}"
    cache 'deep'
    publishDir { params.outdir }, mode: 'copy', overwrite: 'deep', pattern: 'found/*/*', saveAs: { name -> name - 'found/' }

    input:
    path scan

    output:
    path 'jobs/*.json', emit: jobs
    path 'copy.zarr', emit: copy, optional: true
    path 'found/*/*', emit: found, optional: true

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
