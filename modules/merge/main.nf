// [group, group.json, recipe.json, banks] in; the group's stores and what REPORT shows out.
process MERGE {
    tag "${group}"
    cache 'deep'

    input:
    tuple val(group), path('group.json'), path('recipe.json'), path(banks, stageAs: 'banks/*')

    output:
    tuple val(group), path('stores'), emit: stores
    path "merged-${group}", emit: merged
    path "merged-${group}/*.objects", emit: rows, optional: true
    tuple val(group), path('stores/*/*'), emit: whole, optional: true

    script:
    """
    export TILEWRIGHT_CPUS=${task.cpus} TILEWRIGHT_LAST_TRY=${task.attempt > 2}
    "\$TILEWRIGHT_STEP" merge group.json recipe.json banks stores merged-${group}
    """

    stub:
    "mkdir -p stores/${group}/x.zarr merged-${group}; touch stores/${group}/x.zarr/zarr.json merged-${group}/${group}.objects"
}
