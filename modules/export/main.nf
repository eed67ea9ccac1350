// [group, export.json, stores], SHA-256 of the weights in; files of other formats, and what came of each, out.
process EXPORT {
    tag "${group}"
    cache 'deep'
    publishDir { params.outdir }, mode: params.publish, overwrite: 'deep', pattern: 'exported/*/*', saveAs: { name -> name - 'exported/' }

    input:
    tuple val(group), path('export.json'), path(stores, stageAs: 'stores?/*')
    val weights

    output:
    path 'exported/*/*', emit: files, optional: true
    path "told-${group}", emit: told

    script:
    """
    export TILEWRIGHT_LAST_TRY=${task.attempt > 2}
    "\$TILEWRIGHT_STEP" export export.json "${weights}" . exported told-${group}
    """

    stub:
    "mkdir -p exported/${group} told-${group}; touch exported/${group}/x.geojson"
}
