<?php
// Says, in a command that a worker runs, how far it is: by the descriptor that TASKQUEUE_REPORT_FD names.
// By hand, where nobody hears it, it does the same work and says nothing.

$descriptor = getenv('TASKQUEUE_REPORT_FD');
$stream = $descriptor === false ? null : fopen("php://fd/$descriptor", 'w');

function report(array $said): void
{
    global $stream;
    if ($stream) {
        fwrite($stream, json_encode($said) . "\n");
    }
}

if (($argv[1] ?? '') === 'closed') {
    report(['retry_in' => '5m', 'message' => 'the shop is closed']);  // not now: that costs no attempt
    exit(0);
}
$rows = 4;
for ($row = 1; $row <= $rows; $row++) {
    report(['progress' => $row * 100 / $rows, 'message' => "row $row of $rows"]);
}
report(['result' => ['rows' => $rows]]);
