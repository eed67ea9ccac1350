// A plan whose weights are missing in; their SHA-256 out. The only task that sees a hub's token.
process FETCH {
    executor 'local'
    cache false

    input:
    path 'plan.json'

    output:
    env 'sha256'

    script:
    """
    sha256=\$("\$TILEWRIGHT_STEP" fetch plan.json)
    """

    stub:
    "sha256=none"
}
