// [group, job.json, recipe.json, sha256 of the weights, what the model needs] in; [group, bank] out.
process PREDICT {
    tag "${job.baseName}"
    label 'gpu'
    cache 'deep'
    // In a job array there are no inputs yet when resources are asked for: then parameters say it all.
    ext gpus: { (params.gpus == null ? needs?.gpus : params.gpus) as Integer }
    memory { 1.GB * ((params.predict_memory ?: needs?.memory_gb ?: 4) as int) * Math.min(task.attempt, 3) }
    beforeScript { "export TILEWRIGHT_GPUS=${task.ext.gpus ?: 0}" }

    input:
    tuple val(group), path(job), path('recipe.json'), val(weights), val(needs)

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
