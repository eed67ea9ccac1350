// Tilewright: any image model over images of any size. docs/how-it-works.md tells the story.
include { ENV as ENV_BASE  } from './modules/env'
include { ENV as ENV_MODEL } from './modules/env'
include { PLAN             } from './modules/plan'
include { FETCH            } from './modules/fetch'
include { SCAN             } from './modules/scan'
include { PREDICT          } from './modules/predict'
include { MERGE            } from './modules/merge'
include { REPORT           } from './modules/report'

// Whether an environment is there: an administrator's <name>, or ours with its marker.
def ready(name) {
    def digest = java.security.MessageDigest.getInstance('SHA-256')
        .digest(file("${projectDir}/envs/${name}.yml").bytes).encodeHex().toString().take(12)
    file("${params.env_root}/${name}").exists() || file("${params.env_root}/${name}-${digest}/.tilewright-ready").exists()
}

// What a step needs to know of this run, as JSON: it reaches the step by standard input.
def context() {
    groovy.json.JsonOutput.toJson([
        params: params, launch_dir: "${workflow.launchDir}", work_dir: "${workflow.workDir}",
        trace: "${params.outdir}/trace.txt", nextflow: "${workflow.nextflow.version}",
    ])
}

// A job's file is <group>_<jobs of the group>_<job>.json: [group with its size, job.json]
def keyed(job) {
    def (group, size) = job.baseName.tokenize('_')
    tuple(groupKey(group, size as int), job)
}

workflow {
    main:
    // true, once the environment that every step runs in is there
    base = ready('base') ? channel.value(true) : ENV_BASE('base').map { _name -> true }
    PLAN(base, context())
    recipe = PLAN.out.recipe
    plan   = PLAN.out.plan.map { p -> new groovy.json.JsonSlurper().parse(p) }

    // true, once the model's own environment is there too
    model = ENV_MODEL(plan.filter { p -> !p.environment.ready }.map { p -> p.environment.name })
        .map { _name -> true }
        .ifEmpty(true)
        .first()

    // the digest of the weights, e.g. 'c0ffee…'
    missing = PLAN.out.plan.filter { p -> new groovy.json.JsonSlurper().parse(p).weights == null }
    weights = FETCH(missing).mix(plan.filter { p -> p.weights != null }.map { p -> p.weights }).first()

    // [group, job.json]: one item per GPU task, e.g. [slide-A-1f2e3d4c, slide-A-1f2e3d4c_12_00003.json]
    SCAN(PLAN.out.scans.flatten())
    jobs = PLAN.out.jobs.mix(SCAN.out.jobs).flatten().map { job -> keyed(job) }

    // [group, bank]: what one task predicted, in any order
    banks = PREDICT(jobs.combine(recipe).combine(weights).combine(model).map { g, j, r, w, _ready -> tuple(g, j, r, w) })

    // [group, group.json, recipe.json, banks]: whole groups, in job order, so bytes never depend on timing
    groups = PLAN.out.groups.flatten().map { g -> tuple(g.baseName, g) }
    whole  = banks.groupTuple(sort: { b -> b.name }).map { g, b -> tuple(g.toString(), b) }
    MERGE(groups.join(whole).combine(recipe).map { g, group, b, r -> tuple(g, group, r, b) })

    // once, even when nothing was merged; then a run with a missing image fails
    REPORT(PLAN.out.plan, recipe, MERGE.out.merged.collect().ifEmpty([]), context())
    REPORT.out.run.subscribe { run ->
        def failed = new groovy.json.JsonSlurper().parse(run).failed
        if (failed) {
            error "${failed.size()} image(s) have no result: ${failed.join('; ')}"
        }
    }
}
