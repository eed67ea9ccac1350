// Every parameter, as JSON on standard input: data, never shell. Out: what to do, checked.
process PLAN {
    executor 'local'
    cache false
    publishDir { params.outdir }, mode: 'copy', pattern: 'plan.json'

    input:
    stdin

    output:
    path 'plan.json', emit: plan
    path 'recipe.json', emit: recipe
    path 'groups/*.json', emit: groups
    path 'jobs/*.json', emit: jobs, optional: true
    path 'scans/*.json', emit: scans, optional: true
    path 'exports/*.json', emit: exports, optional: true

    script:
    """
    "\$TILEWRIGHT_STEP" plan
    """
}
