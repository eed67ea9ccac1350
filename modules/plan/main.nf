// Every parameter, as JSON on standard input: data, never shell. Out: what to do, checked; plan.json also
// in the output folder.
process PLAN {
    executor 'local'
    cache false

    input:
    stdin

    output:
    path 'plan.json', emit: plan
    path 'recipe.json', emit: recipe
    path 'groups/*.json', emit: groups
    path 'jobs/*.json', emit: jobs, optional: true
    path 'scans/*.json', emit: scans, optional: true
    path 'exports/*.json', emit: exports, optional: true

    script:
    """
    export TILEWRIGHT_LAST_TRY=${task.attempt > 2}
    "\$TILEWRIGHT_STEP" plan
    """

    stub:  // two groups, one of them scanned and exported, of a model for which all is still to be had
    """
    mkdir groups jobs scans exports
    echo '{"to_build": ["base"], "weights": null, "previews": null, "images": [],' \
        '"needs": {"gpus": 0, "memory_gb": 1}}' > plan.json
    echo '{}' | tee recipe.json groups/a.json groups/b.json jobs/a_1_00000.json scans/b.json exports/b.json
    """
}
