// [group, export.json, stores], SHA-256 of the weights in; files of other formats, and what came of each, out.
process EXPORT {
    tag "${group}"
    cache 'deep'

    input:
    tuple val(group), path('export.json'), path(stores, stageAs: 'stores?/*')
    val weights

    output:
    tuple val(group), path('exported'), emit: files, optional: true
    path "told-${group}", emit: told

    script:
    """
    export TILEWRIGHT_LAST_TRY=${task.attempt > 2}
    "\$TILEWRIGHT_STEP" export export.json "${weights}" . exported told-${group}
    """

    stub:
    "mkdir -p exported/${group} told-${group}; touch exported/${group}/x.geojson"
}
