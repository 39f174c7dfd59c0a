# SPDX-License-Identifier: MIT
"""What `bench checkpoint` makes of its figures: goals, comparisons, and the page of results."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "sincos"))
import bench as sincos  # noqa: E402  its tables
import machine  # noqa: E402

MB = 1e6
# What is compared with PyTorch: (in words, bytes, time).
VIEWS = (("peak bytes and seconds", "peak_bytes", "seconds"),
         ("shares of the same side's step without", "activation_share", "time_share"))


def goals(wanted, mezzo, torch):
    """For each (share saved, share of time more): the time of the fastest point that saves so much, on both sides."""
    def fastest(points, saved):
        return min((point for point in points if point["activation_share"] <= 1 - saved),
                   key=lambda point: point["time_share"], default=None)

    found = []
    for saved, more in wanted:
        point, peer = fastest(mezzo, saved), fastest(torch, saved)
        found.append({"saved": saved, "more": more, "point": point and point["name"],
                      "time_share": point and point["time_share"], "peer_time_share": peer and peer["time_share"],
                      "met": point is not None and point["time_share"] <= 1 + more})
    return found


def front(points, bytes_of, time_of):
    """The points among which none is better in both, from the fewest bytes."""
    best = []
    for point in sorted(points, key=lambda point: (point[bytes_of], point[time_of])):
        if not best or point[time_of] < best[-1][time_of]:
            best.append(point)
    return best


def against(mezzo, torch):
    """For PyTorch's best numbers of segments: fewest bytes in the same time, least time in the same bytes."""
    found = []
    for view, bytes_of, time_of in VIEWS:
        for peer in front(torch[1:], bytes_of, time_of):
            fewest = min((point[bytes_of] for point in mezzo if point[time_of] <= peer[time_of]), default=None)
            least = min((point[time_of] for point in mezzo if point[bytes_of] <= peer[bytes_of]), default=None)
            found.append({"view": view, "name": peer["name"], "bytes": peer[bytes_of], "time": peer[time_of],
                          "bytes_at_same_time": fewest, "time_at_same_bytes": least,
                          "met": fewest is not None and least is not None and fewest < peer[bytes_of] and least < peer[time_of]})
    return found


def picture_name(found, result):
    return f"checkpoint-{found['date']}-{result['name']}.svg"


def verdict(is_met):
    return "met" if is_met else "**not met**"


def percent(share):
    return "-" if share is None else f"{100 * share:.1f}%"


def points_table(sides):
    rows = []
    for side, facts in sides.items():
        for point in facts["points"]:
            predicted = (f"{point['predicted_peak_bytes'] / MB:.1f} MB", f"{point['predicted_seconds']:.3f}") \
                if point.get("predicted_seconds") else ("", "")
            rows.append([f"{side}, {point['name']}", f"{point['peak_bytes'] / MB:.1f}", percent(point["peak_share"]),
                         f"{point['activation_bytes'] / MB:.1f}", percent(point["activation_share"]),
                         f"{point['seconds']:.3f}", percent(point["time_share"]), *predicted])
    return sincos.table(["step", "peak, MB", "of none", "activations, MB", "of none", "seconds", "of none",
                         "predicted peak", "predicted seconds"], rows)


def goals_table(found):
    rows = [[f"{100 * goal['saved']:.0f}% fewer activation bytes", goal["point"] or "no plan saves so much",
             percent(goal["time_share"]), percent(1 + goal["more"]), verdict(goal["met"]), percent(goal["peer_time_share"])]
            for goal in found]
    return sincos.table(["Mezzo's fastest plan of", "which", "time, of none", "goal", "verdict", "PyTorch's, of none"], rows)


def against_table(found):
    def bytes_text(row, key):
        value = row[key]
        return "-" if value is None else percent(value) if row["view"] == VIEWS[1][0] else f"{value / MB:.1f} MB"

    def time_text(row, key):
        value = row[key]
        return "-" if value is None else percent(value) if row["view"] == VIEWS[1][0] else f"{value:.3f} s"

    rows = [[f"{row['view']}: {row['name']}", bytes_text(row, "bytes"), bytes_text(row, "bytes_at_same_time"), time_text(row, "time"),
             time_text(row, "time_at_same_bytes"), verdict(row["met"])] for row in found]
    return sincos.table(["PyTorch's best", "its bytes", "Mezzo's in the same time", "its time", "Mezzo's in the same bytes",
                         "less of both"], rows)


def resident_table(found):
    return sincos.table(["step", "counted, MB", "resident, MB", "resident, of counted"], [
        [f"{row['side']}, {row['name']}", f"{row['counted_bytes'] / MB:.1f}", f"{row['resident_bytes'] / MB:.1f}",
         percent(row["resident_bytes"] / row["counted_bytes"])] for row in found])


def section(found, result):
    mezzo = result["sides"]["Mezzo"]
    return f"""## {result['title']}

![bytes against seconds]({picture_name(found, result)})

{goals_table(result['goals'])}

{against_table(result['against'])}

{points_table(result['sides'])}

Measuring for the plans took {mezzo['profile_seconds']:.2f} s, once. What a step adds at most, as counted and resident:

{resident_table(result['resident'])}
"""


def markdown(found):
    versions = {side: facts["version"] for side, facts in found["results"][0]["sides"].items()}
    sections = "\n".join(section(found, result) for result in found["results"])
    return f"""# Activation checkpointing, {found['date']}

{machine.describe(found['machine'])}. {found['settings']['threads']} threads, rounds interleaved: \
{found['settings']['rounds']}. {', '.join(f'{side} {version}' for side, version in versions.items())}.

Repeat with `{found['command']}`.

- **Step**: forward and backward pass of linear layers with ReLU and a mean squared error, from cleared gradients. Neither side
  has an optimizer, whose time would hide some of what checkpointing adds. Mezzo's 16-bit copies of the weights are live before
  the step, since its optimizers write them; PyTorch makes its own in each step, and they count as activations.
- **Seconds**: medians. Shares of them are medians of the ratio to the step without checkpointing that ran right before.
- **Activations**: peak less what is live before the step, less the gradients that it leaves.
- **Mezzo**: the library's own count, with scratch memory of ops. Points are plans of the curve that take twice the time at most.
- **PyTorch**: `checkpoint_sequential` with `use_reentrant=False`, ReLU in place. Its peak is replayed from what its
  profiler is told of its allocator, without scratch memory of BLAS and oneDNN.
- **Resident**: growth of the process in one step, with freed memory going back to the system at once. Mezzo keeps freed blocks
  for tensors of the same size, gradients being of another than activations, and so grows by more than is in use.

{sections}"""
