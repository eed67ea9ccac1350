// An environment's name in; the same name out when it is ready. Head node: it needs the network.
process ENV {
    tag "${name}"
    executor 'local'
    cache false

    input:
    val name

    output:
    val name

    script:
    """
    "${projectDir}/tilewright" environments build "${name}" --env_root "\$TILEWRIGHT_ENVS" --envs ${params.envs}
    """

    stub:
    "true"
}
