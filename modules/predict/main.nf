// [group, job.json, recipe.json, sha256 of the weights] in; [group, bank] out.
process PREDICT {
    tag "${job.baseName}"
    label 'gpu'
    cache 'deep'

    input:
    tuple val(group), path(job), path('recipe.json'), val(weights)

    output:
    tuple val(group), path("${job.baseName}.bank")

    script:
    """
    export OMP_NUM_THREADS=${task.cpus} TILEWRIGHT_LAST_TRY=${task.attempt > 2}
    "\$TILEWRIGHT_STEP" predict ${job} recipe.json "${weights}" ${job.baseName}.bank
    """

    stub:
    "cat ${job} recipe.json > ${job.baseName}.bank"
}
