// [group, export.json, stores], SHA-256 of the weights in; files where PLAN says, and what failed out.
process EXPORT {
    tag "${group}"
    cache false

    input:
    tuple val(group), path('export.json'), path(stores, stageAs: 'stores?/*')
    val weights

    output:
    path "exported-${group}"

    script:
    """
    export TILEWRIGHT_LAST_TRY=${task.attempt > 2}
    "\$TILEWRIGHT_STEP" export export.json "${weights}" . exported-${group}
    """

    stub:
    "mkdir exported-${group}"
}
