"""`python -m booking_credits` is the command `booking-credits`."""

from booking_credits.cli import main

main()
