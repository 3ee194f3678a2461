"""The driver contract, under the name by which drivers of other packages import it."""

from hart_salt.drivers.contract import BEGINNING as BEGINNING
from hart_salt.drivers.contract import READING as READING
from hart_salt.drivers.contract import Driver as Driver
