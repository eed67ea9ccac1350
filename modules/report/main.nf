// The plan and what every group came to in, even none; report.html, the pictures it links and run.json out.
process REPORT {
    executor 'local'
    cache false
    publishDir { params.outdir }, mode: 'copy', overwrite: 'deep'

    input:
    path 'plan.json'
    path 'recipe.json'
    path 'merged/*'
    stdin

    output:
    path 'report.html'
    path 'images.csv'
    path 'report', optional: true
    path 'run.json', emit: run

    script:
    """
    "\$TILEWRIGHT_STEP" report plan.json recipe.json merged
    """

    stub:
    """
    touch report.html images.csv
    echo '{"images": [{"store": "a/x.zarr"}, {"store": "b/x.zarr"}], "failed": [], "unexported": [], "unread": [], "doubts": []}' > run.json
    """
}
