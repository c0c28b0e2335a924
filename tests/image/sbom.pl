#!/usr/bin/perl
# Writes the image's bill of materials, SPDX 2.3 in JSON, to standard output: sbom.pl ROOT LINKS VERSION EPOCH
#
# ROOT is the image's file system as it is being made. Each file in it is either ours or a package's; what was linked into
# ours is told by LINKS, the output of make with the linker's --trace. Packages, versions and sources are dpkg's, licences
# those of the list beside this file. Same input, same bytes. Runs in the build stage: perl-base alone.
use strict;
use warnings;

my ($root, $links, $version, $epoch) = @ARGV;
my $here = $0 =~ s{[^/]*$}{}r;
my %ours = ('/etc/nsswitch.conf' => 1);    # written in the Dockerfile
my (%licence_of, %package, %owner, %linked);

sub lines_of { open(my $in, '<', $_[0]) or die "$_[0]: $!\n"; my @lines = <$in>; chomp @lines; return @lines; }

sub output_of {
    open(my $in, '-|', @_) or die "$_[0]: $!\n";
    my @lines = <$in>;
    close($in) or die "$_[0] failed\n";
    chomp @lines;
    return @lines;
}

sub quoted { my $text = shift; $text =~ s/(["\\])/\\$1/g; return qq("$text"); }
sub id_of  { my $text = shift; $text =~ s/[^A-Za-z0-9.-]+/-/g; return "SPDXRef-$text"; }

# The package a file of the build stage came with; Debian knows some by their place before /usr was merged.
sub package_of {
    my $path = shift;
    return $owner{$path} if $owner{$path};
    my $real = (output_of('readlink', '-f', $path))[0];
    my @places = map { ($_, s{^/usr}{}r, "/usr$_") } $path, $real;
    for my $place (grep { m{^/} } @places) {
        my $said = `dpkg -S '$place' 2>/dev/null`;
        next if $said !~ /^([^:,\s]+)/ || $said =~ /^diversion/;
        my ($name, $number, $source, $architecture) = split /\t/,
            (output_of('dpkg-query', '-W', '-f', '${Package}\t${Version}\t${source:Package}\t${Architecture}\n', $1))[0];
        $package{$name} = {version => $number, source => $source, architecture => $architecture};
        return $owner{$path} = $name;
    }
    # Made by a package's script from what the package holds.
    return $owner{$path} = package_of('/usr/sbin/update-ca-certificates') if $path =~ m{^/etc/ssl/certs/};
    die "$path belongs to no package\n";
}

for (lines_of("${here}licences")) { $licence_of{$1} = $2 if /^([^#\s]\S*) (.+)$/; }

# Static parts: archives and start files, after the command that links one of our programs.
my $program;
for (lines_of($links)) {
    if (/^gcc /) { $program = / -c / ? undef : / -o build\/bin\/(\S+)/ ? $1 : undef; next; }
    next if !defined $program || !m{^\(?(/[^()\s]+\.[ao])\b};
    $linked{$program}{package_of($1)} = 1;
}
die "no static parts in $links: was it made with --trace?\n" if !$linked{'restore-stager'};
$linked{'restore-stager.tar'} = $linked{'restore-stager'};

my (@files, @relations);
my $sums = '';
for my $path (sort(output_of('find', $root, '-type', 'f', '-printf', '/%P\n'))) {
    my ($sha256) = (output_of('sha256sum', "$root$path"))[0] =~ /^(\w+)/;
    my ($sha1)   = (output_of('sha1sum', "$root$path"))[0] =~ /^(\w+)/;
    my ($name)   = $path =~ m{([^/]+)$};
    my $is_ours = $ours{$path} || $path =~ m{^/usr/local/};
    my $owner = $is_ours ? 'restore' : package_of($path);
    my $id = id_of("File$path");
    $sums .= "$sha256 $path\n";
    push @files, sprintf('{"SPDXID":%s,"fileName":%s,"checksums":[{"algorithm":"SHA1","checksumValue":"%s"},'
            . '{"algorithm":"SHA256","checksumValue":"%s"}],"licenseConcluded":"NOASSERTION","copyrightText":"NOASSERTION"}',
        quoted($id), quoted(".$path"), $sha1, $sha256);
    push @relations, [id_of("Package-$owner"), 'CONTAINS', $id];
    push @relations, map { [$id, 'STATIC_LINK', id_of("Package-$_")] } sort keys %{$linked{$name} // {}} if $is_ours;
}

my @packages = (qq({"SPDXID":"SPDXRef-Package-restore","name":"restore","versionInfo":"$version",)
        . '"downloadLocation":"NOASSERTION","filesAnalyzed":false,"licenseConcluded":"NOASSERTION",'
        . '"licenseDeclared":"NOASSERTION","copyrightText":"NOASSERTION","primaryPackagePurpose":"APPLICATION"}');
for my $name (sort keys %package) {
    my ($number, $source, $architecture) = @{$package{$name}}{qw(version source architecture)};
    my $licence = $licence_of{$source} // die "$source: no licence in ${here}licences\n";
    my $escaped = $number =~ s/([+:~])/sprintf('%%%02X', ord $1)/ger;
    push @packages, sprintf('{"SPDXID":%s,"name":%s,"versionInfo":%s,"supplier":"Organization: Debian",'
            . '"sourceInfo":%s,"downloadLocation":"NOASSERTION","filesAnalyzed":false,"licenseConcluded":"NOASSERTION",'
            . '"licenseDeclared":%s,"copyrightText":"NOASSERTION","externalRefs":[{"referenceCategory":"PACKAGE-MANAGER",'
            . '"referenceType":"purl","referenceLocator":%s}]}',
        map { quoted($_) } id_of("Package-$name"), $name, $number, "built from: $source", $licence,
        "pkg:deb/debian/$name\@$escaped?arch=$architecture");
}

my ($second, $minute, $hour, $day, $month, $year) = gmtime $epoch;
my $created = sprintf '%04d-%02d-%02dT%02d:%02d:%02dZ', $year + 1900, $month + 1, $day, $hour, $minute, $second;
open(my $out, '>', '/tmp/sums') or die "/tmp/sums: $!\n";
print $out $sums;
close $out;
my ($all) = (output_of('sha256sum', '/tmp/sums'))[0] =~ /^(\w+)/;

sub list { return "[\n" . join(",\n", @_) . "\n]"; }
print qq({"spdxVersion":"SPDX-2.3","dataLicense":"CC0-1.0","SPDXID":"SPDXRef-DOCUMENT","name":"restore-$version",\n),
    qq("documentNamespace":"https://spdx.org/spdxdocs/restore-$version-$all",\n),
    qq("creationInfo":{"created":"$created","creators":["Tool: tests/image/sbom.pl"]},\n),
    '"hasExtractedLicensingInfos":[{"licenseId":"LicenseRef-public-domain",',
    qq("extractedText":"The code is in the public domain; see the package's copyright file."}],\n),
    '"packages":', list(@packages), ",\n\"files\":", list(@files), ",\n\"relationships\":",
    list(map { sprintf '{"spdxElementId":"%s","relationshipType":"%s","relatedSpdxElement":"%s"}', @$_ }
            (['SPDXRef-DOCUMENT', 'DESCRIBES', 'SPDXRef-Package-restore'], @relations)), "}\n";
