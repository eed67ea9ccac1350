// [group, folder of <image>/<name>, copy or link], the run as JSON in; nothing out, but all of it is in
// the output folder. Where the run is started: no job of a cluster writes there, and what can't be
// written ends the run, where publishDir may wait for ever.
process PUBLISH {
    tag "${group}"
    executor 'local'
    maxForks 4
    cache false

    input:
    tuple val(group), path(made), val(how)
    stdin

    output:
    val group

    script:
    """
    "\$TILEWRIGHT_STEP" publish ${made} ${how}
    """

    stub:
    "true"
}
