// What a run does around its tasks: its lock, its previews, and how it ends.

// What a step needs to know of this run, as JSON: it reaches the step by standard input.
def context() {
    groovy.json.JsonOutput.toJson([
        params: params, launch_dir: "${workflow.launchDir}", work_dir: "${workflow.workDir}",
        trace: "${params.outdir}/trace.txt", nextflow: "${workflow.nextflow.version}",
        command: workflow.commandLine, profile: workflow.profile, configs: workflow.configFiles.collect { f -> "${f}" },
        started: System.getenv('TILEWRIGHT_STARTED'),
    ])
}

// Every parameter, as the generated nextflow_schema.json tells it
def help() {
    def groups = read(file("${projectDir}/nextflow_schema.json", glob: false))['$defs'].values()
    def told = groups.collect { group ->
        ["\n${group.title}:"] + group.properties.collect { name, p ->
            def given = name in group.required ? 'required' : p.default
            "  --${name}".padRight(22) + p.description + (given == null ? '' : "  [${given}]")
        }
    }
    def head = ['Tilewright: any image model over images of any size.', '',
        "  nextflow run ${projectDir} -profile local --input slides/ --model nuclei --outdir results"]
    def foot = ['', "-profile is local, slurm or test (two images of ours). All else: ${projectDir}/docs/run.md"]
    (head + told.flatten() + foot).join('\n')
}

// What a JSON file says
def read(path) {
    new groovy.json.JsonSlurper().parse(path)
}

// What a JSON file of the output folder says; null if there is none that can be read
def result(name) {
    def path = file("${params.outdir}/${name}", glob: false)
    try {
        return path.exists() ? read(path) : null
    } catch (groovy.json.JsonException _e) {
        return null
    }
}

// A job's file is <group>_<jobs of the group>_<job>.json: [group with its size, job.json]
def keyed(job) {
    def (group, size) = job.baseName.tokenize('_')
    tuple(groupKey(group, size as int), job)
}

// Refuses a run that can't be: Nextflow itself puts bin/ on each task's PATH, unquoted. Then takes the
// output folder's lock, for the system to take back when this process ends, however it ends. Where
// none is to be had, a run goes on: PLAN says it if the folder can't be written.
def begin() {
    if ("${projectDir}" =~ /["`$\\:]/) {
        error "Tilewright's own folder, ${projectDir}, has one of \" ` \$ \\ : in its path. Move it."
    }
    def lock = false
    try {
        def path = file("${params.outdir}/.tilewright-lock", glob: false)
        path.parent.mkdirs()
        lock = java.nio.channels.FileChannel.open(path, java.nio.file.StandardOpenOption.CREATE, java.nio.file.StandardOpenOption.WRITE).tryLock()
    } catch (IOException _e) {
        log.debug "There is no lock in ${params.outdir}."
    }
    if (lock == null) {
        error "Another run into ${params.outdir} still goes on. Wait for its end, or stop it; or choose another --outdir."
    }
    [lock: lock, shell: ProcessHandle.current().parent().orElse(null), last: null]
}

// Who watches a run by previews stops it by ending the shell it was started in: what Ctrl-C is elsewhere.
def follow(shell) {
    def stop = { -> ['kill', '-TERM', "${ProcessHandle.current().pid()}"].execute() }
    def name = shell ? shell.info().command().orElse(shell.pid() == 1 ? 'init' : '').tokenize('/').join(' ') : ''
    if (name =~ /(init|systemd|tini)$/ || shell?.isAlive() == false) {
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

// Previews are for who watches a run: gone 5 s after the last bank, or at once if it failed.
// Without their folder no late task can add one.
def tidy(held) {
    def made = result('plan.json')?.previews
    if (made) {
        if (workflow.success && held.last && previews(made)) {
            sleep(Math.max(0, 5000 - (System.nanoTime() - held.last).intdiv(1000000)))
        }
        file(made.folder, glob: false).deleteDir()
        previews(made).each { f -> f.delete() }
    }
}

// Why a run fails when all else is done, or null. The caller raises it: from here, its words would be lost.
def why(run) {
    if (run.failed) {
        return "${run.failed.size()} image(s) have no result: ${run.failed.join('; ')}"
    }
    if (run.unexported) {
        return "Not in every format of --export: ${run.unexported.join('; ')}"
    }
    def doubtful = run.unread + run.doubts
    params.strict && doubtful ? "--strict: ${doubtful.join('; ')}" : null
}

// A run that wasn't planned takes back what was begun in a folder where nothing else is.
def withdraw() {
    def begun = ['trace.txt', '.tilewright-lock']
    def names = file(params.outdir, glob: false).list() ?: []
    if (!workflow.success && !(names - begun)) {
        begun.each { name -> file("${params.outdir}/${name}", glob: false).delete() }
    }
}

// Says where the results are, and takes the previews away; held is of begin(), and when a bank came.
def finish(held) {
    if (workflow.success) {
        log.info "Results: ${file(params.outdir, glob: false)}: a folder for each image, report.html and images.csv"
    }
    withdraw()
    tidy(held)
}
