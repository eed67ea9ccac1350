// Tilewright: any image model over images of any size. docs/how-it-works.md tells the story.
include { ENV     } from './modules/env'
include { PLAN    } from './modules/plan'
include { FETCH   } from './modules/fetch'
include { SCAN    } from './modules/scan'
include { PREDICT } from './modules/predict'
include { MERGE   } from './modules/merge'
include { EXPORT  } from './modules/export'
include { PUBLISH } from './modules/publish'
include { TABLES  } from './modules/tables'
include { REPORT  } from './modules/report'
include { begin ; context ; finish ; follow ; help ; keyed ; read ; why } from './modules/run'

workflow {
    main:
    if (params.containsKey('help')) {
        println help()
        return
    }
    held = begin()
    PLAN(context())
    recipe = PLAN.out.recipe
    plan   = PLAN.out.plan.map { p -> read(p) }
    plan.filter { p -> p.previews }.subscribe { _p -> follow(held.shell) }

    // true, once the model's own environment is there, and that of exporters
    missing = plan.flatMap { p -> p.to_build }
    ready   = ENV(missing).collect().map { _names -> true }.ifEmpty(true)

    // the digest of the weights, e.g. 'c0ffee…'
    here    = plan.filter { p -> p.weights != null }.map { p -> p.weights }
    weights = FETCH(PLAN.out.plan.filter { p -> read(p).weights == null }).mix(here).first()

    // [group, job.json]: one item per GPU task, e.g. [slide-A-1f2e3d4c, slide-A-1f2e3d4c_12_00003.json]
    SCAN(PLAN.out.scans.flatten())
    jobs = PLAN.out.jobs.mix(SCAN.out.jobs).flatten().map { job -> keyed(job) }

    // [group, bank]: what one task predicted, in any order; needs is e.g. [gpus: 1, memory_gb: 12]
    needs = plan.map { p -> p.needs }
    tasks = jobs.combine(recipe).combine(weights).combine(needs).combine(ready)
    banks = PREDICT(tasks.map { g, j, r, w, n, _ready -> tuple(g, j, r, w, n) })
    banks.subscribe { _bank -> held.last = System.nanoTime() }

    // [group, group.json, recipe.json, banks]: whole groups, in job order, so bytes never depend on timing
    groups = PLAN.out.groups.flatten().map { g -> tuple(g.baseName, g) }
    whole  = banks.groupTuple(sort: { b -> b.name }).map { g, b -> tuple(g.toString(), b) }
    MERGE(groups.join(whole).combine(recipe).map { g, group, b, r -> tuple(g, group, r, b) })

    // [group, export.json, stores]: groups that are wanted in another format, too
    wanted = PLAN.out.exports.flatten().map { e -> tuple(e.baseName, e) }
    EXPORT(wanted.join(MERGE.out.whole), weights)

    // [group, folder of <image>/<name>, how]: into the output folder as it is made. Tissue is never a
    // link: users edit it, and what PREDICT reads must stay
    linked = MERGE.out.stores.mix(EXPORT.out.files).map { g, made -> tuple(g, made, params.publish) }
    copied = SCAN.out.found.map { g, made -> tuple(g, made, 'copy') }
    there  = PUBLISH(linked.mix(copied), context()).collect().map { _groups -> true }.ifEmpty(true)

    // all groups' rows of objects, in the groups' order: a resume that changed nothing joins nothing
    rows = MERGE.out.rows.collect(sort: { r -> r.name })
    TABLES(rows, params.table_rows ?: '')

    // once, even when nothing was merged
    told = MERGE.out.merged.mix(EXPORT.out.told, TABLES.out.told, TABLES.out.sums, TABLES.out.tables)
    REPORT(PLAN.out.plan, recipe, told.collect().ifEmpty([]), there, context())
    REPORT.out.run.subscribe { run ->
        def failed = why(read(run))
        if (failed) {
            error failed
        }
    }

    workflow.onComplete = { held && finish(held) }  // until then the folder is ours
}
