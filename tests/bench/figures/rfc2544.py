"""The highest rate at which nothing is lost: RFC 2544 section 26.1, by bisection."""


def search(trial, ceiling, resolution, guess):
    """Tries rates from a guess outwards, then halves what is between the best and the worst.

    @param trial       called with a rate; returns a dict that says `passed`
    @param ceiling     no higher rate is tried
    @param resolution  the answer is at most this much below a rate that lost packets. What is lower
                       than that is found to a tenth of itself, down to a hundredth of the ceiling
    @return the trial of the highest rate that passed; None if none did
    """
    low, high, best = 0.0, ceiling + resolution, None
    rate, step, outwards = min(guess, ceiling), resolution, True
    while high - low > 1.001 * resolution:
        one = trial(rate)
        if one["passed"]:
            low, best = rate, one
        else:
            high = rate
        outwards = outwards and (best is None or high > ceiling)
        if not outwards:
            rate = min((low + high) / 2, ceiling)
        else:
            rate = min(low + step, ceiling) if best else high - step
            step *= 2
            if not low < rate < high:  # past an end of what can be
                outwards, rate = False, (low + high) / 2
    while best is None and high > 0.01 * ceiling:
        one = trial(high / 4)
        if one["passed"]:
            low, best = high / 4, one
        else:
            high /= 4
    while best and low < resolution and high > 1.1 * low:
        one = trial((low + high) / 2)
        if one["passed"]:
            low, best = (low + high) / 2, one
        else:
            high = (low + high) / 2
    return best
