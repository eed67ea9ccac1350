// Every group's rows of objects and the most rows of a file in; the run's table and what it has out.
process TABLES {
    executor 'local'
    cache 'deep'

    input:
    path 'rows/*'
    val most

    output:
    path 'objects*.csv', emit: tables, optional: true
    path 'tables.json', emit: told
    path 'tables.sha256', emit: sums

    script:
    """
    "\$TILEWRIGHT_STEP" tables rows "${most}"
    """

    stub:
    "touch objects.csv tables.json tables.sha256"
}
