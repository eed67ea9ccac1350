// The plan and what every group came to in, even none, when all of it is in the output folder; there
// report.html, the pictures it links, tables and run.json, which is out, too.
process REPORT {
    executor 'local'
    cache false

    input:
    path 'plan.json'
    path 'recipe.json'
    path 'merged/*'
    val _published
    stdin

    output:
    path 'run.json', emit: run

    script:
    """
    "\$TILEWRIGHT_STEP" report plan.json recipe.json merged
    """

    stub:
    """
    echo '{"images": [{"store": "a/x.zarr"}, {"store": "b/x.zarr"}], "failed": [], "unexported": [], "unread": [], "doubts": []}' > run.json
    """
}
