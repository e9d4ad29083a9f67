package hostclock

import "testing"

func TestTwoMeasurementsOfOneCounterAgreeToATenthOfAPercent(t *testing.T) {
	first, second := KHz(), KHz()
	if first == 0 && second == 0 {
		return // no counter on this architecture
	}
	difference := int64(first) - int64(second)
	if difference < 0 {
		difference = -difference
	}
	if uint64(difference)*1000 > first {
		t.Fatalf("%d kHz, then %d kHz", first, second)
	}
}
