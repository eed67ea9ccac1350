// Tilewright: any image model over images of any size. docs/how-it-works.md tells the story.
include { ENV     } from './modules/env'
include { PLAN    } from './modules/plan'
include { FETCH   } from './modules/fetch'
include { SCAN    } from './modules/scan'
include { PREDICT } from './modules/predict'
include { MERGE   } from './modules/merge'
include { EXPORT  } from './modules/export'
include { REPORT  } from './modules/report'

params.outdir          = 'results'  // folder for the results
params.env_root        = null       // folder of environments; null: in Tilewright's cache
params.weights_dir     = null       // folder of downloaded weights; null: in Tilewright's cache
params.predict_timeout = 600        // seconds a model may be silent before it is stopped
params.slurm_queue_size  = 100      // jobs that may be in SLURM's queue at one time
params.slurm_submit_rate = 50       // jobs that are sent to SLURM in a minute, at most
params.slurm_array       = null     // send PREDICT tasks as job arrays of so many; null: singly

// What a step needs to know of this run, as JSON: it reaches the step by standard input.
def context() {
    groovy.json.JsonOutput.toJson([
        params: params, launch_dir: "${workflow.launchDir}", work_dir: "${workflow.workDir}",
        trace: "${params.outdir}/trace.txt", nextflow: "${workflow.nextflow.version}",
        command: workflow.commandLine, profile: workflow.profile, configs: workflow.configFiles.collect { f -> "${f}" },
        started: System.getenv('TILEWRIGHT_STARTED'),
    ])
}

// A job's file is <group>_<jobs of the group>_<job>.json: [group with its size, job.json]
def keyed(job) {
    def (group, size) = job.baseName.tokenize('_')
    tuple(groupKey(group, size as int), job)
}

// Stores that run.json promises and the output folder hasn't: links across file systems are lost silently
def unpublished() {
    def run = file("${params.outdir}/run.json", glob: false)
    def stores = run.exists() ? new groovy.json.JsonSlurper().parse(run).images.findResults { i -> i.store } : []
    stores.findAll { s -> !['zarr.json', '.zattrs'].any { f -> file("${params.outdir}/${s}/${f}", glob: false).exists() } }
}

// The output folder's lock, which the system takes back when this process ends, however it ends; null if
// another run has it. Where none is to be had, a run goes on: PLAN says it if the folder can't be written.
def locked() {
    try {
        def path = file("${params.outdir}/.tilewright-lock", glob: false)
        path.parent.mkdirs()
        return java.nio.channels.FileChannel.open(path, java.nio.file.StandardOpenOption.CREATE, java.nio.file.StandardOpenOption.WRITE).tryLock()
    } catch (IOException _e) {
        return false
    }
}

// Who watches a run by previews stops it by ending the shell it was started in: what Ctrl-C is elsewhere.
def follow(shell) {
    def stop = { -> ['kill', '-TERM', "${ProcessHandle.current().pid()}"].execute() }
    def name = shell.info().command().orElse(shell.pid() == 1 ? 'init' : '').tokenize('/').join(' ')
    if (name =~ /(init|systemd|tini)$/ || !shell.isAlive()) {
        stop.call()  // it has ended already
    } else if (name =~ /sh$/) {
        shell.onExit().thenRun { -> stop.call() }
    }
}

// The previews of a run that are there: [file, …]
def previews(made) {
    def masks = file(made.masks, glob: false)
    masks.exists() ? masks.listFiles().findAll { f -> f.name.contains(made.mark) } : []
}

// Previews are for who watches a run: gone when they had time to be seen, or at once if it failed.
// Without their folder no late task can add one.
def tidy() {
    def plan = file("${params.outdir}/plan.json", glob: false)
    def made = plan.exists() ? new groovy.json.JsonSlurper().parse(plan).previews : null
    if (made) {
        def last = previews(made).collect { f -> f.lastModified() }.max()
        if (workflow.success && last) {
            sleep(Math.max(0, 5000 + last - System.currentTimeMillis()))
        }
        file(made.folder, glob: false).deleteDir()
        previews(made).each { f -> f.delete() }
    }
}

workflow {
    main:
    if ("${projectDir}" =~ /["`$\\:]/) {  // Nextflow itself puts bin/ on each task's PATH, unquoted
        error "Tilewright's own folder, ${projectDir}, has one of \" ` \$ \\ : in its path. Move it."
    }
    held = locked()
    if (held == null) {
        error "Another run into ${params.outdir} still goes on. Wait for its end, or stop it; or choose another --outdir."
    }
    shell = ProcessHandle.current().parent()
    PLAN(context())
    recipe = PLAN.out.recipe
    plan   = PLAN.out.plan.map { p -> new groovy.json.JsonSlurper().parse(p) }
    plan.filter { p -> p.previews }.subscribe { _p -> shell.ifPresent { s -> follow(s) } }

    // true, once the model's own environment is there
    model = ENV(plan.filter { p -> !p.environment.ready }.map { p -> p.environment.name })
        .map { _name -> true }
        .ifEmpty(true)

    // the digest of the weights, e.g. 'c0ffee…'
    missing = PLAN.out.plan.filter { p -> new groovy.json.JsonSlurper().parse(p).weights == null }
    weights = FETCH(missing).mix(plan.filter { p -> p.weights != null }.map { p -> p.weights }).first()

    // [group, job.json]: one item per GPU task, e.g. [slide-A-1f2e3d4c, slide-A-1f2e3d4c_12_00003.json]
    SCAN(PLAN.out.scans.flatten())
    jobs = PLAN.out.jobs.mix(SCAN.out.jobs).flatten().map { job -> keyed(job) }

    // [group, bank]: what one task predicted, in any order; needs is e.g. [gpus: 1, memory_gb: 12]
    needs = plan.map { p -> p.needs }
    banks = PREDICT(jobs.combine(recipe).combine(weights).combine(needs).combine(model).map { g, j, r, w, n, _ready -> tuple(g, j, r, w, n) })

    // [group, group.json, recipe.json, banks]: whole groups, in job order, so bytes never depend on timing
    groups = PLAN.out.groups.flatten().map { g -> tuple(g.baseName, g) }
    whole  = banks.groupTuple(sort: { b -> b.name }).map { g, b -> tuple(g.toString(), b) }
    MERGE(groups.join(whole).combine(recipe).map { g, group, b, r -> tuple(g, group, r, b) })

    // [group, export.json, stores]: groups that are wanted in another format, too
    wanted = PLAN.out.exports.flatten().map { e -> tuple(e.baseName, e) }
    EXPORT(wanted.join(MERGE.out.whole), weights)

    // once, even when nothing was merged; then a run with a missing image fails
    REPORT(PLAN.out.plan, recipe, MERGE.out.merged.mix(EXPORT.out).collect().ifEmpty([]), context())
    REPORT.out.run.subscribe { run ->
        def failed = new groovy.json.JsonSlurper().parse(run).failed
        if (failed) {
            error "${failed.size()} image(s) have no result: ${failed.join('; ')}"
        }
    }

    workflow.onComplete = {
        def lost = workflow.success ? unpublished() : []
        if (lost) {
            log.error "Not in ${params.outdir}: ${lost.join(', ')}. Run again with --publish copy -resume."
        }
        tidy()
        if (held) {
            held.channel().close()
        }
    }
}
